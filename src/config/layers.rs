//! Values by dotted key, layer over layer, and how they are read as what they should be.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::document::Data;
use super::near::{list, nearest};
use super::origin::{Origin, Place, ShownValue};
use super::schema::join;
use super::values;
use crate::error::{Error, Kind, Result};
use crate::retention::short_duration;

/// One value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) data: Data,
    pub(crate) place: Place,
}

/// Values by dotted key.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Layers {
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Where the sections begin.
    pub(crate) sections: BTreeMap<String, Place>,
}

impl Layers {
    /// Puts a text over what there is.
    pub(crate) fn set_text(&mut self, key: &str, text: &str, origin: Origin) {
        let entry = Entry { data: Data::Text(text.to_owned()), place: Place { origin, column: 0 } };
        self.entries.insert(key.to_owned(), entry);
    }

    /// The entries under `prefix.`, with the prefix taken off.
    pub(crate) fn under(&self, prefix: &str) -> Layers {
        let prefix = format!("{prefix}.");
        let inner = |key: &String| key.strip_prefix(&prefix).map(str::to_owned);
        Layers {
            entries: self
                .entries
                .iter()
                .filter_map(|(key, entry)| Some((inner(key)?, entry.clone())))
                .collect(),
            sections: self
                .sections
                .iter()
                .filter_map(|(key, place)| Some((inner(key)?, place.clone())))
                .collect(),
        }
    }

    /// The names below `section.`: `sources` gives the sources that have a section.
    pub(crate) fn names(&self, section: &str) -> Vec<String> {
        let prefix = format!("{section}.");
        let names = self.sections.keys().filter_map(|key| key.strip_prefix(&prefix));
        names.filter(|name| !name.contains('.')).map(str::to_owned).collect()
    }
}

/// Reads values of some layers as what they should be, and keeps what `config show` will print.
pub(crate) struct Reader<'a> {
    layers: &'a Layers,
    /// What stands before the keys in messages and in `config show`.
    prefix: String,
    /// Relative paths of the file begin here.
    file_dir: &'a Path,
    /// Relative paths of the environment and of flags begin here.
    cwd: &'a Path,
    pub(crate) shown: Vec<ShownValue>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(layers: &'a Layers, prefix: &str, file_dir: &'a Path, cwd: &'a Path) -> Self {
        Reader { layers, prefix: prefix.to_owned(), file_dir, cwd, shown: Vec::new() }
    }

    /// The value as it was given.
    pub(crate) fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.layers.entries.get(key)
    }

    /// The key as messages and `config show` have it.
    pub(crate) fn full(&self, key: &str) -> String {
        join(&self.prefix, key)
    }

    /// Notes a value for `config show`.
    pub(crate) fn show(&mut self, key: &str, value: impl Into<String>) {
        let origin = self.entry(key).map_or(Origin::Default, |entry| entry.place.origin.clone());
        self.shown.push(ShownValue { key: self.full(key), value: value.into(), origin });
    }

    /// The key as it stands where the value was given: a policy file, a variable and a flag know nothing of
    /// the policy's name.
    fn given(&self, key: &str, entry: &Entry) -> String {
        let in_file = matches!(entry.place.origin, Origin::File(..));
        if self.prefix.starts_with("policies.") && !in_file { key.to_owned() } else { self.full(key) }
    }

    /// An error about the value of a key: `place: key must be …, not …`.
    pub(crate) fn wrong(&self, key: &str, entry: &Entry, must_be: &str) -> Error {
        let (place, key, value) = (&entry.place, self.given(key, entry), entry.data.shown());
        Error::new(Kind::Config, format!("{place}: {key} must be {must_be}, not {value}"))
    }

    /// An error about the value of a key that does not quote the value.
    pub(crate) fn refuse(&self, key: &str, entry: &Entry, problem: &str) -> Error {
        Error::new(Kind::Config, format!("{}: {}: {problem}", entry.place, self.given(key, entry)))
    }

    /// A text that is not shown: the caller decides what of it may be.
    pub(crate) fn hidden_text(&self, key: &str) -> Result<Option<(String, &'a Entry)>> {
        match self.entry(key) {
            None => Ok(None),
            Some(entry) => match &entry.data {
                Data::Text(text) if text.is_empty() => {
                    Err(self.refuse(key, entry, "the value is empty").hint("give a value, or remove the key"))
                }
                Data::Text(text) => Ok(Some((text.clone(), entry))),
                _ => Err(self.wrong(key, entry, "a text").hint("put the value in double quotes")),
            },
        }
    }

    /// A text.
    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>> {
        let text = self.hidden_text(key)?.map(|(text, _)| text);
        if let Some(text) = &text {
            self.show(key, text.clone());
        }
        Ok(text)
    }

    /// A path; relative ones begin at the file's directory, or at the working directory for flags and environment.
    pub(crate) fn path(&mut self, key: &str) -> Result<Option<PathBuf>> {
        let Some((text, entry)) = self.hidden_text(key)? else {
            return Ok(None);
        };
        let base = if entry.place.origin.is_text() { self.cwd } else { self.file_dir };
        let path = base.join(text);
        self.show(key, path.display().to_string());
        Ok(Some(path))
    }

    /// True or false.
    pub(crate) fn flag(&mut self, key: &str, default: bool) -> Result<bool> {
        let value = match self.entry(key) {
            None => default,
            Some(entry) => match &entry.data {
                Data::Bool(flag) => *flag,
                Data::Text(text) if entry.place.origin.is_text() && (text == "true" || text == "false") => {
                    text == "true"
                }
                _ => {
                    return Err(self
                        .wrong(key, entry, "true or false")
                        .hint("write true or false, without quotes"));
                }
            },
        };
        self.show(key, value.to_string());
        Ok(value)
    }

    /// A whole number in a range.
    pub(crate) fn whole(&mut self, key: &str, range: RangeInclusive<u32>) -> Result<Option<u32>> {
        let Some(entry) = self.entry(key) else {
            return Ok(None);
        };
        let number = match &entry.data {
            Data::Integer(number) => u32::try_from(*number).ok(),
            Data::Text(text) if entry.place.origin.is_text() => text.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number.filter(|number| range.contains(number)) else {
            let upper = if *range.end() == u32::MAX { String::new() } else { format!(" to {}", range.end()) };
            let must_be = format!("a whole number from {}{upper}", range.start());
            return Err(self
                .wrong(key, entry, &must_be)
                .hint("correct the number; it stands without quotes"));
        };
        self.show(key, number.to_string());
        Ok(Some(number))
    }

    /// A whole number in a range, with a default.
    pub(crate) fn whole_or(&mut self, key: &str, range: RangeInclusive<u32>, default: u32) -> Result<u32> {
        if let Some(number) = self.whole(key, range)? {
            return Ok(number);
        }
        self.show(key, default.to_string());
        Ok(default)
    }

    /// A duration of more than nothing.
    pub(crate) fn duration(&mut self, key: &str) -> Result<Option<Duration>> {
        self.any_duration(key, |text| {
            let duration = values::duration(text).ok_or(values::DURATION_HINT)?;
            if duration.is_zero() { Err("give more than nothing") } else { Ok(duration) }
        })
    }

    /// A duration that decides over removals: `m` and `M` alone are not accepted.
    pub(crate) fn careful_duration(&mut self, key: &str) -> Result<Option<Duration>> {
        self.any_duration(key, values::careful_duration)
    }

    fn any_duration(
        &mut self,
        key: &str,
        read: impl Fn(&str) -> Result<Duration, &'static str>,
    ) -> Result<Option<Duration>> {
        let Some(entry) = self.entry(key) else {
            return Ok(None);
        };
        let read = match &entry.data {
            Data::Text(text) => read(text),
            _ => Err(values::DURATION_HINT),
        };
        let duration = read.map_err(|hint| self.wrong(key, entry, "a duration").hint(hint))?;
        self.show(key, short_duration(duration));
        Ok(Some(duration))
    }

    /// A size in bytes in a range, with a default.
    pub(crate) fn size_or(&mut self, key: &str, range: RangeInclusive<u64>, default: u64) -> Result<u64> {
        let size = match self.entry(key) {
            None => default,
            Some(entry) => {
                let size = match &entry.data {
                    Data::Integer(number) => u64::try_from(*number).ok(),
                    Data::Text(text) => values::size(text),
                    _ => None,
                };
                let (least, most) = (values::size_text(*range.start()), values::size_text(*range.end()));
                size.filter(|size| range.contains(size)).ok_or_else(|| {
                    let must_be = format!("a size from {least} to {most}");
                    self.wrong(key, entry, &must_be)
                        .hint("a size is a number with its unit, such as \"8MiB\" or \"64MB\"")
                })?
            }
        };
        self.show(key, values::size_text(size));
        Ok(size)
    }

    /// One of some words; the first is the default.
    pub(crate) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&'static str, T)]) -> Result<T> {
        let (word, value) = match self.entry(key) {
            None => choices[0],
            Some(entry) => {
                let words = || choices.iter().map(|(word, _)| *word);
                let given = match &entry.data {
                    Data::Text(text) => text.as_str(),
                    _ => "",
                };
                *choices.iter().find(|(word, _)| *word == given).ok_or_else(|| {
                    let must_be = format!("one of {}", list(words()));
                    let hint = match nearest(given, words()) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None => "use one of these words, in double quotes".to_owned(),
                    };
                    self.wrong(key, entry, &must_be).hint(hint)
                })?
            }
        };
        self.show(key, word);
        Ok(value)
    }
}
