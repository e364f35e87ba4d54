//! Durations and sizes as text.

use std::time::Duration;

/// Reads a duration such as `30s`, `5m`, `12h`, `30d`, `2w`, `6months` (a month is 30.44 days, a year 365.25).
pub(crate) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text.trim()).ok()
}

/// Reads a duration that decides over removals: `6m` would be six minutes and `6M` six months, so neither
/// is accepted; minutes and months have to be spelled out.
pub(crate) fn careful_duration(text: &str) -> Result<Duration, &'static str> {
    let units = text.split(|letter: char| !letter.is_alphabetic()).filter(|unit| !unit.is_empty());
    if units.into_iter().any(|unit| matches!(unit, "m" | "M")) {
        return Err("write `min` for minutes or `months` for months; `m` is easily mistaken");
    }
    duration(text).ok_or(DURATION_HINT)
}

/// What a duration looks like.
pub(crate) const DURATION_HINT: &str =
    "a duration is a number with its unit, such as \"90s\", \"12h\" or \"30d\"";

/// Reads a size: a number of bytes, or a number with `kB`, `MB`, `GB`, `TB` (powers of 1000) or
/// `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024).
pub(crate) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "TB" => 1000 * 1000 * 1000 * 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// A size with the greatest unit that divides it: `8MiB`.
pub(crate) fn size_text(bytes: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        assert_eq!(size("8MiB"), Some(8 << 20));
        assert_eq!(size("64 MB"), Some(64_000_000));
        assert_eq!(size("5242880"), Some(5 << 20));
        for bad in ["", "MiB", "8 M", "1.5GiB", "-1", "99999999999TiB", "8mib"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!(size_text(8 << 20), "8MiB");
        assert_eq!(size_text(1000), "1000B");
        assert_eq!(size_text(3 << 30), "3GiB");
    }

    #[test]
    fn what_decides_over_removals_cannot_be_six_minutes_by_mistake() {
        let day = Duration::from_secs(86400);
        assert_eq!(careful_duration("30d"), Ok(day * 30));
        assert_eq!(careful_duration("2w"), Ok(day * 14));
        assert_eq!(careful_duration("30min"), Ok(Duration::from_secs(1800)));
        assert_eq!(careful_duration("6months").unwrap(), Duration::from_secs(6 * 2_630_016));
        for bad in ["6m", "6M", "1y 6m", "1y6m"] {
            assert!(careful_duration(bad).unwrap_err().contains("months"), "{bad}");
        }
        assert_eq!(careful_duration("soon"), Err(DURATION_HINT));
    }
}
