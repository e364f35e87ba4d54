//! `--shard I/N`: a part of the sources, so that the pods of an Indexed Job share them.

use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_64;

use super::Context;
use crate::config::Source;
use crate::error::Result;

/// The options of commands that take several sources.
#[derive(Debug, clap::Args)]
pub struct Sharding {
    /// Only part I (from 0) of N of these sources, such as the pod's index in an Indexed Job:
    /// "$JOB_COMPLETION_INDEX/8". The name alone decides which part a source is in
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
}

impl Sharding {
    /// True when a part alone is wanted.
    pub fn is_asked(&self) -> bool {
        self.shard.is_some()
    }

    /// Keeps the sources of this part. Says so when there are none, which is no failure.
    ///
    /// # Errors
    /// Those of [`Context::sources`].
    pub fn sources<'a>(&self, context: &'a Context, names: &[String]) -> Result<Vec<&'a Source>> {
        Ok(self.of(context, context.sources(names)?))
    }

    /// Keeps those of this part. Says so when there are none.
    pub fn of<'a>(&self, context: &Context, mut sources: Vec<&'a Source>) -> Vec<&'a Source> {
        let Some(shard) = self.shard else { return sources };
        let all = sources.len();
        sources.retain(|source| shard.has(&source.name));
        if sources.is_empty() {
            context.ui.info(&format!("shard {shard} has none of the {all} sources: nothing to do"));
        }
        sources
    }
}

/// One part of N.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// Says whether a source of this name is in this part.
    pub fn has(self, name: &str) -> bool {
        jump(xxh3_64(name.as_bytes()), self.count) == self.index
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|_| !text.starts_with('+'));
        let parts = text.split_once('/').and_then(|(index, count)| Some((number(index)?, number(count)?)));
        match parts {
            Some((_, 0)) => Err("there has to be at least one shard".to_owned()),
            Some((index, count)) if index >= count => {
                Err(format!("shards are counted from 0: the last of {count} is {}/{count}", count - 1))
            }
            Some((index, count)) => Ok(Shard { index, count }),
            None => Err("write it as I/N, such as 0/8".to_owned()),
        }
    }
}

/// Jump consistent hash (Lamping and Veach 2014, `arxiv.org/abs/1406.2294`): a bucket below `count`. With one
/// bucket more, one key in `count + 1` moves, all of them into the new bucket.
fn jump(mut key: u64, count: u32) -> u32 {
    let (mut bucket, mut next) = (0_i64, 0_i64);
    while next < i64::from(count) {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let divisor = (key >> 33) as f64 + 1.0;
        next = ((bucket as f64 + 1.0) * ((1_u64 << 31) as f64 / divisor)) as i64;
    }
    // Below `count`.
    bucket as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        (0..1000).map(|number| format!("tenant-{number:04}")).collect()
    }

    fn of(name: &str, count: u32) -> Vec<u32> {
        (0..count).filter(|&index| Shard { index, count }.has(name)).collect()
    }

    #[test]
    fn every_source_is_in_one_shard_and_shards_are_balanced() {
        for count in [1, 2, 8, 10, 32] {
            let mut sizes = vec![0_u32; count as usize];
            for name in names() {
                let in_shards = of(&name, count);
                assert_eq!(in_shards.len(), 1, "{name} of {count}");
                sizes[in_shards[0] as usize] += 1;
            }
            // Four standard deviations of a fair throw.
            let fair = 1000.0 / f64::from(count);
            let most = 4.0 * (fair * (1.0 - 1.0 / f64::from(count))).sqrt();
            assert!(sizes.iter().all(|&size| (f64::from(size) - fair).abs() <= most), "{count}: {sizes:?}");
        }
    }

    #[test]
    fn another_shard_moves_few_sources_and_only_into_the_new_one() {
        let moved: Vec<u32> =
            names().iter().filter(|name| of(name, 10) != of(name, 11)).map(|name| of(name, 11)[0]).collect();
        assert!((50..=140).contains(&moved.len()), "{}", moved.len());
        assert!(moved.iter().all(|&shard| shard == 10), "{moved:?}");
    }

    #[test]
    fn a_name_stays_where_it_was_in_all_versions() {
        let known = ["orders", "billing", "shop", "tenant-0001"].map(|name| of(name, 8)[0]);
        assert_eq!(known, [0, 2, 2, 7]);
    }

    #[test]
    fn a_shard_is_written_as_index_and_count() {
        assert_eq!("3/8".parse(), Ok(Shard { index: 3, count: 8 }));
        for wrong in ["", "3", "8/8", "0/0", "-1/8", "+1/8", "1/8/2", "a/b", "/8", "$JOB_COMPLETION_INDEX/8"]
        {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
        assert!("8/8".parse::<Shard>().unwrap_err().contains("7/8"));
    }
}
