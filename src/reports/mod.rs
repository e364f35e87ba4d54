//! What people and programs read: tables, sizes, times, JSON lines, JUnit. Everything here makes text;
//! nothing prints.

pub mod junit;
pub mod messages;
pub mod size;
pub mod table;
pub mod time;
