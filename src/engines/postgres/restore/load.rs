//! The data pass: several `pg_restore`s at once, each fed with its own share of the tables.
//!
//! `pg_restore --jobs` needs the archive as a file. Here each run reads a pipe: the head of the
//! archive and the blocks of its share, which the store gives by ranges, so nothing touches a disk.
//! Loading a table keeps one server process busy, so this is faster wherever there are two cores.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use futures_util::future::try_join_all;

use super::Plan;
use super::feed::{self, Head, alone};
use super::passes::{self, Files, Pass};
use crate::engines::postgres::Postgres;
use crate::engines::postgres::archive::Archive;
use crate::engines::postgres::archive::rewrite::list_file;
use crate::engines::postgres::connect::Session;
use crate::engines::postgres::dump::DUMP;
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::child;
use crate::pipeline::inventory::Inventory;

/// Runs at once, at most: each is a `pg_restore`, a session and a download.
const MAX_LOADERS: usize = 8;

/// What a table costs besides its bytes, in bytes: a share of many small ones is not small.
const TABLE_COST: u64 = 64 * 1024;

/// Shares smaller than this are not worth a run of their own, in bytes.
const SMALL_SHARE: u64 = 4 << 20;

impl Postgres {
    /// Loads all data that is wanted. Returns what was read, and what somebody should know.
    pub(super) async fn load(
        &self,
        plan: &Plan<'_>,
        admin: &Session,
        database: &str,
        scratch: &Path,
    ) -> Result<(Archive, Vec<String>)> {
        // Into tables that exist everything goes in one transaction: all of it, or nothing.
        let loaders = if plan.options.data_only { 1 } else { self.settings.host.threads };
        let loaders = loaders.clamp(1, MAX_LOADERS);
        let shares = shares(&plan.head, plan.wanted.as_deref(), &plan.inventory, loaders);
        let runs = shares.iter().enumerate().map(|(number, ids)| {
            let list = scratch.join(format!("share-{number}.list"));
            async move { self.load_share(plan, admin, database, &list, ids.as_deref()).await }
        });
        let expected = match plan.wanted {
            None => plan.from.object(DUMP)?.raw_bytes,
            Some(_) => plan.expected().totals().bytes,
        };
        plan.from.progress().expect_raw(expected);
        let mut loaded = try_join_all(runs).await?.into_iter();
        let Some((mut whole, mut warnings)) = loaded.next() else {
            return Err(Error::new(Kind::Failed, "nothing was to be loaded"));
        };
        for (part, more) in loaded {
            whole.tables.extend(part.tables);
            warnings.extend(more);
        }
        Ok((whole, warnings))
    }

    /// One run of `pg_restore`. Without ids it gets the whole archive.
    async fn load_share(
        &self,
        plan: &Plan<'_>,
        admin: &Session,
        database: &str,
        list: &Path,
        ids: Option<&[i32]>,
    ) -> Result<(Archive, Vec<String>)> {
        if let Some(ids) = ids {
            std::fs::write(list, list_file(&plan.head.toc, ids))
                .explain(plan.local(), || format!("cannot write {}", list.display()))?;
        }
        let files = Files { toc: Path::new(""), list: ids.map(|_| list) };
        let arguments = passes::arguments(Pass::Data, plan.options, files, plan.stops(admin), 1);
        let connection = admin.connection().with_database(database);
        let mut spec = self.child(&connection, &plan.tool, admin.version(), plan.loading, arguments)?;
        spec.feed = true;
        let mut child = child::spawn(spec)?;
        let Some(mut input) = child.take_input() else {
            return Err(Error::new(Kind::Failed, "pg_restore has no input"));
        };
        // Into tables that exist, one run loads everything: the whole is known before it may commit.
        let judge = |archive: &Archive| match plan.options.data_only {
            true => plan.check(Some(archive)),
            false => Ok(()),
        };
        let fed = match ids {
            None => feed::whole(plan.from, &mut input, &judge).await,
            Some(ids) => {
                feed::selected(plan.from, &mut input, &plan.head, ids, &plan.inventory, &judge).await
            }
        };
        drop(input);
        let fed = match fed {
            Ok(fed) => fed,
            Err(error) => {
                child.stop().await;
                return Err(error);
            }
        };
        let warnings = plan.conclude(Pass::Data, child.outcome().await?)?;
        let archive = fed.ok_or_else(|| {
            Error::new(Kind::Failed, "pg_restore ended well before it had read its part of the archive")
                .hint("run it again with the pg_restore of the server's own version")
        })?;
        Ok((archive, warnings))
    }
}

/// Divides the data entries into shares of about equal size, each in the order of the archive. A
/// share without ids is everything, as one stream.
///
/// Entries without a place of their own (large objects, values of sequences, rows that are loaded
/// through a partition root) stay together in the first share.
fn shares(
    head: &Head,
    wanted: Option<&[i32]>,
    inventory: &Inventory,
    loaders: usize,
) -> Vec<Option<Vec<i32>>> {
    let whole = || vec![wanted.map(<[i32]>::to_vec)];
    if loaders < 2 {
        return whole();
    }
    let tables = alone(inventory);
    let wanted = wanted.map(|ids| ids.iter().copied().collect::<HashSet<i32>>());
    let mut movable: Vec<(u64, i32)> = Vec::new();
    let mut first: Vec<i32> = Vec::new();
    let mut streamed = false;
    for entry in head.toc.entries() {
        if wanted.as_ref().is_some_and(|ids| !ids.contains(&entry.dump_id)) {
            continue;
        }
        let target = entry.copy.as_ref().filter(|_| entry.has_data()).map(|copy| &copy.table);
        let item = target.and_then(|table| tables.get(&(table.schema.as_str(), table.name.as_str())));
        match item {
            Some((item, _)) => movable.push((item.bytes + TABLE_COST, entry.dump_id)),
            None => {
                streamed |= entry.has_data();
                first.push(entry.dump_id);
            }
        }
    }
    let total: u64 = movable.iter().map(|(cost, _)| cost).sum();
    let count = loaders.min(movable.len()).min((total / SMALL_SHARE) as usize + 1);
    if count < 2 || streamed {
        // A share that has to read the whole stream anyway may as well load all of it.
        return whole();
    }
    movable.sort_by_key(|(cost, id)| (std::cmp::Reverse(*cost), *id));
    let mut shares: Vec<(u64, Vec<i32>)> = vec![(0, Vec::new()); count];
    shares[0].1 = first;
    for (cost, id) in movable {
        if let Some(lightest) = shares.iter_mut().min_by_key(|(load, _)| *load) {
            lightest.0 += cost;
            lightest.1.push(id);
        }
    }
    let order: HashMap<i32, usize> =
        head.toc.entries().iter().enumerate().map(|(position, entry)| (entry.dump_id, position)).collect();
    shares
        .into_iter()
        .map(|(_, mut ids)| {
            ids.sort_by_key(|id| order.get(id).copied());
            Some(ids)
        })
        .collect()
}
