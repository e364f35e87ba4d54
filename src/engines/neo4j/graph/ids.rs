//! A compact map from node ids to something small: pages of 512 entries, since ids of a store are dense.

use std::collections::HashMap;

/// Entries of a page.
const PAGE: u64 = 512;

/// Pages that are found by their number: of half a billion ids. Those of larger ids are looked up.
const DENSE: u64 = 1 << 20;

/// A map from ids to values. A value that equals its type's default is one that is not there.
///
/// Memory: the value's size for each id of a touched page, and 16 bytes for each page. With the dense ids of Neo4j's
/// record formats that is 16 bytes a node for [`super::tally`] and 8 for a restore.
#[derive(Debug)]
pub struct Ids<T> {
    dense: Vec<Option<Box<[T]>>>,
    sparse: HashMap<u64, Box<[T]>>,
    len: u64,
}

impl<T> Default for Ids<T> {
    fn default() -> Self {
        Ids { dense: Vec::new(), sparse: HashMap::new(), len: 0 }
    }
}

impl<T: Copy + Default + PartialEq> Ids<T> {
    /// How many are there.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True when nothing is there.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of an id.
    pub fn get(&self, id: u64) -> Option<T> {
        let page = id / PAGE;
        let entries = match page < DENSE {
            true => self.dense.get(page as usize)?.as_ref()?,
            false => self.sparse.get(&page)?,
        };
        Some(entries[(id % PAGE) as usize]).filter(|value| *value != T::default())
    }

    /// Sets the value of an id; false when it had one before.
    pub fn insert(&mut self, id: u64, value: T) -> bool {
        let place = self.place(id);
        let new = *place == T::default();
        *place = value;
        self.len += u64::from(new);
        new
    }

    /// Changes the value of an id that is there.
    pub fn change(&mut self, id: u64, change: impl FnOnce(&mut T)) {
        change(self.place(id));
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = T> + '_ {
        let all = self.dense.iter().flatten().chain(self.sparse.values());
        all.flat_map(|entries| entries.iter().copied()).filter(|value| *value != T::default())
    }

    fn place(&mut self, id: u64) -> &mut T {
        let page = id / PAGE;
        let fresh = || vec![T::default(); PAGE as usize].into();
        let entries = if page < DENSE {
            let index = page as usize;
            if self.dense.len() <= index {
                self.dense.resize_with(index + 1, || None);
            }
            self.dense[index].get_or_insert_with(fresh)
        } else {
            self.sparse.entry(page).or_insert_with(fresh)
        };
        &mut entries[(id % PAGE) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_again() {
        let mut ids = Ids::default();
        for id in [0_u64, 511, 512, 1 << 40, u64::MAX, 3] {
            assert_eq!(ids.get(id), None);
            assert!(ids.insert(id, id ^ 1));
            assert!(!ids.insert(id, id ^ 1));
        }
        ids.change(3, |value| *value += 10);
        assert_eq!((ids.get(3), ids.get(0), ids.get(u64::MAX)), (Some(12), Some(1), Some(u64::MAX - 1)));
        assert_eq!((ids.len(), ids.values().count()), (6, 6));
        assert_eq!(ids.get(4), None);
    }
}
