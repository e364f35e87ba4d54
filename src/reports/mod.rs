//! What people and programs read: tables, sizes, times, JSON lines, JUnit, metrics. Everything here makes
//! text; nothing prints.

pub mod details;
pub mod drills;
pub mod junit;
pub mod listing;
pub mod messages;
pub mod metrics;
pub mod pruning;
pub use crate::units::{size, time};
pub mod table;
