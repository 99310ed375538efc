//! What `mesh up` tells the person at the terminal: an account of what runs, then a line per event.
//!
//! Everything here is text from facts; printing it is the program's business.

mod account;
mod lines;
mod paint;
mod table;

pub use account::{Account, account};
pub use lines::line;
pub use paint::Paint;
pub use table::table;

use std::time::Duration;

/// `24 h`, `90 min`, `45 s`: rounded, in the largest unit that still tells something.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match duration.as_secs() {
        0..=119 => format!("{seconds:.0} s"),
        120..=7_199 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3_600.0),
    }
}

/// The last digits of a serial number: enough to tell certificates of one mesh apart.
fn short_serial(serial: &str) -> String {
    let digits: Vec<char> = serial.chars().filter(char::is_ascii_alphanumeric).collect();
    digits[digits.len().saturating_sub(8)..].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_the_unit_that_fits() {
        let check = |seconds, expected: &str| {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        };
        check(0, "0 s");
        check(119, "119 s");
        check(120, "2 min");
        check(7_190, "120 min");
        check(86_397, "24 h");
        check(86_400, "24 h");
    }

    #[test]
    fn serials_are_cut_to_their_end() {
        assert_eq!(short_serial("0a:1b:2c:3d:4e:5f"), "2c3d4e5f");
        assert_eq!(short_serial("7"), "7");
    }
}
