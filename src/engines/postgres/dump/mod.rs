//! The `dump` method: locks, a snapshot, and `pg_dump` of that snapshot as one stream.
//!
//! A holder session locks every table, then exports a snapshot; `pg_dump` of the server's own major
//! dumps that snapshot. Somebody may queue an exclusive lock behind the holder; then `pg_dump`
//! waits behind that lock and that lock waits for the holder: a deadlock that the server cannot see.
//! So `pg_dump` waits for locks only so long; then everything is released and tried again.

mod stream;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use crate::engines::postgres::archive::inventory::{self, TablePlan};
use crate::engines::postgres::archive::{Archive, ArchiveReader};
use crate::engines::postgres::holder::{self, Held};
use crate::engines::postgres::tools::Tool;
use crate::engines::postgres::{Postgres, connect, globals, identity, properties, settings, tools};
use crate::engines::{Captured, Consistency, Phase, RecoveryPoint};
use crate::error::{Error, Kind, Result};
use crate::pipeline::child::{self, Child, Spec};
use crate::pipeline::frames::place_of;
use crate::pipeline::inventory::Inventory;
use crate::pipeline::object::{CleanEnd, Role, Stored};
use crate::pipeline::progress::Progress;
use crate::pipeline::{ObjectWriter, Sink};

/// The name of the object that holds the archive.
pub const DUMP: &str = "postgres.dump.zst";
/// The name of the object that holds roles and tablespaces.
pub const GLOBALS: &str = "globals.sql.zst";
