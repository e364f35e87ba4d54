//! Drills: a timed restore into staging that is compared, checked, judged and recorded.
//!
//! Nothing here knows an engine: staging, restore, comparison and questions go through
//! [`Engine`](crate::engines::Engine).

pub mod checks;
pub mod evidence;
pub mod objectives;
pub mod outcome;
pub mod phases;
pub mod run;
