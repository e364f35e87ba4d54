//! Sizes and counts as people read them.

/// Bytes in binary units (IEC 80000-13) with one decimal: `512 B`, `1.4 GiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // What would be shown as 1024.0 belongs to the next unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Bytes a second: `12.5 MiB/s`; `-` when no time passed.
pub fn rate(amount: u64, seconds: f64) -> String {
    if seconds <= 0.0 {
        return "-".to_owned();
    }
    format!("{}/s", bytes((amount as f64 / seconds) as u64))
}

/// A count with thousands set apart: `12,345,678`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in a narrow column: up to seven digits as [`count`] has them, above that `12.3M`, `4.5G`.
pub fn count_short(count: u64) -> String {
    const UNITS: [&str; 5] = ["M", "G", "T", "P", "E"];
    if count < 10_000_000 {
        return self::count(count);
    }
    let mut value = count as f64 / 1e6;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1}{}", UNITS[unit])
}

/// A count with its noun: `1 backup`, `2 backups`.
pub fn plural(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_up_in_binary_units() {
        let shown: Vec<String> =
            [0, 1023, 1024, 1_500_000, 1_503_238_554, (1 << 30) - 1, u64::MAX].map(bytes).to_vec();
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.4 MiB", "1.4 GiB", "1.0 GiB", "16.0 EiB"]);
        assert_eq!(rate(10 << 20, 4.0), "2.5 MiB/s");
        assert_eq!(rate(1, 0.0), "-");
    }

    #[test]
    fn counts_are_set_apart_by_thousands() {
        let shown: Vec<String> = [0, 999, 1000, 12_345_678].map(count).to_vec();
        assert_eq!(shown, ["0", "999", "1,000", "12,345,678"]);
        let short: Vec<String> = [9_999_999, 10_000_000, 999_960_000, u64::MAX].map(count_short).to_vec();
        assert_eq!(short, ["9,999,999", "10.0M", "1.0G", "18.4E"]);
        assert_eq!(plural(1, "backup"), "1 backup");
        assert_eq!(plural(0, "backup"), "0 backups");
    }
}
