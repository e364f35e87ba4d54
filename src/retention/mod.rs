//! Which backups stay: a pure function.
