//! The definitions of a database, read from a `pg_dump --schema-only` of it.

use tokio::io::AsyncReadExt as _;

use super::{Means, damaged_dump};
use crate::engines::postgres::archive::ArchiveReader;
use crate::engines::postgres::archive::inventory;
use crate::engines::postgres::resolve::Connection;
use crate::engines::postgres::settings;
use crate::error::{Error, Kind, Result};
use crate::pipeline::child::{self, Spec};
use crate::pipeline::inventory::Definition;

/// What is asked of `pg_dump`: the archive format that the backup's definitions were read from.
/// What a drill's restore leaves out is left out here too.
const ARGUMENTS: &[&str] = &[
    "--format=custom",
    "--compress=0",
    "--schema-only",
    "--no-acl",
    "--no-subscriptions",
    "--no-password",
    "--lock-wait-timeout=60000",
];

/// The definitions of the connection's database.
///
/// # Errors
/// [`Kind::Failed`] when `pg_dump` fails or its output is not complete.
pub async fn definitions(
    connection: &Connection,
    server_version: u32,
    means: &Means,
) -> Result<Vec<Definition>> {
    let environment = connection.environment(&means.environment, &settings::child_options(server_version))?;
    let mut spec = Spec::new(&means.pg_dump, ARGUMENTS);
    spec.environment = environment.variables().clone();
    spec.secrets = connection.secrets();
    spec.guard = Some(Box::new(environment));
    let mut child = child::spawn(spec)?;
    let mut output =
        child.take_output().ok_or_else(|| Error::new(Kind::Failed, "pg_dump has no standard output"))?;
    let mut reader = ArchiveReader::new();
    let mut buffer = vec![0; 256 << 10];
    let mut fault = None;
    loop {
        match output.read(&mut buffer).await {
            Ok(0) => break,
            Ok(length) if fault.is_none() => fault = reader.feed(&buffer[..length], &mut |_| ()).err(),
            Ok(_) => {} // read on, so that the child can end and say what it has to say
            Err(cause) => return Err(damaged_dump(cause)),
        }
    }
    child
        .finish()
        .await
        .map_err(|error| error.while_doing("the definitions of the restored database cannot be read"))?;
    if let Some(fault) = fault {
        return Err(damaged_dump(fault));
    }
    let archive = reader.finish().map_err(damaged_dump)?;
    Ok(inventory::definitions(&archive.toc))
}
