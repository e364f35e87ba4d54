//! What every command needs.
use super::{Globals, Ui};
use crate::cancel::Cancel;
use chrono::{DateTime, Utc};
/// What every command needs.
pub struct Context {
    pub ui: Ui,
    pub cancel: Cancel,
    pub now: DateTime<Utc>,
}
impl Context {
    pub fn new(globals: Globals, _command: &str, cancel: Cancel) -> Self {
        Context { ui: globals.ui("x"), cancel, now: Utc::now() }
    }
}
