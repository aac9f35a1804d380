//! Points in time on the wire: a number of seconds in JSON, a date in XML and in signatures. Arithmetic only; no clock.

use serde_json::Value;

use crate::fault::Fault;
use crate::json::{FromJson, JsonWriter, ToJson};
use crate::path::Path;

/// Seconds since the epoch, with a fraction; the wire carries milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Timestamp(pub f64);

impl Timestamp {
    /// From milliseconds since the epoch.
    pub fn from_millis(millis: u64) -> Self {
        Self(millis as f64 / 1000.0)
    }

    /// Reads `2018-06-18`, `2018-06-18T22:28:28`, and the latter with `Z` or an offset such as `+00:00`.
    pub fn from_iso(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| digits(text.get(from..to)?);
        let is = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
        let date = is(4, b'-') && is(7, b'-');
        let (year, month, day) = (i64::from(number(0, 4).filter(|_| date)?), number(5, 7)?, number(8, 10)?);
        if text.len() == 10 {
            let moment = Moment { year, month, day, hour: 0, minute: 0, second: 0 };
            return moment.unix().map(|seconds| Self(seconds as f64));
        }
        let time = is(10, b'T') && is(13, b':') && is(16, b':');
        let (hour, minute, second) = (number(11, 13).filter(|_| time)?, number(14, 16)?, number(17, 19)?);
        let seconds = Moment { year, month, day, hour, minute, second }.unix()? as f64;
        let ahead = match text.get(19..)? {
            "" | "Z" => 0.0,
            offset => {
                let (hours, minutes) = offset.get(1..)?.split_once(':')?;
                let size = digits(hours).filter(|h| *h < 24)? * 3_600 + digits(minutes).filter(|m| *m < 60)? * 60;
                match offset.as_bytes()[0] {
                    b'+' => f64::from(size),
                    b'-' => -f64::from(size),
                    _ => return None,
                }
            }
        };
        Some(Self(seconds - ahead)).filter(|at| at.0 >= 0.0)
    }

    /// Milliseconds since the epoch; zero for what lies before it.
    pub fn millis(self) -> u64 {
        // A cast of a float saturates, so no value can wrap.
        (self.0 * 1000.0).round() as u64
    }
}

impl std::fmt::Display for Timestamp {
    /// In UTC, to the millisecond: `2026-11-01T12:30:45.123Z`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.millis();
        let Moment { year, month, day, hour, minute, second } = Moment::from_unix(millis / 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", millis % 1000)
    }
}

impl FromJson for Timestamp {
    fn from_json(value: &Value, at: &Path<'_>) -> Result<Self, Fault> {
        let seconds = f64::from_json(value, at)?;
        // Rounded to what is written, so that reading what was written gives the same value.
        Ok(Self((seconds * 1000.0).round() / 1000.0))
    }
}

impl ToJson for Timestamp {
    fn write_json(&self, out: &mut JsonWriter) {
        if (0.0..1e12).contains(&self.0) {
            let millis = self.millis();
            out.raw(format_args!("{}.{:03}", millis / 1000, millis % 1000));
        } else if self.0.is_finite() {
            out.raw(format_args!("{:.3}", self.0));
        } else {
            out.null();
        }
    }
}

/// A moment of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub year: i64,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
}

const DAY_SECONDS: u64 = 86_400;

impl Moment {
    /// The moment of a number of seconds since the epoch.
    pub fn from_unix(seconds: u64) -> Self {
        let (day_number, rest) = (seconds / DAY_SECONDS, (seconds % DAY_SECONDS) as u32);
        // Days are counted from 1 March of year 0, so that the leap day is the last day of its year.
        let shifted = day_number as i64 + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_index = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_index + 2) / 5 + 1) as u32;
        let month = (if month_index < 10 { month_index + 3 } else { month_index - 9 }) as u32;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day, hour: rest / 3_600, minute: rest / 60 % 60, second: rest % 60 }
    }

    /// Seconds since the epoch; `None` when this is no moment of the calendar or lies before the epoch.
    pub fn unix(self) -> Option<u64> {
        let sane = (1970..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60;
        if !sane {
            return None;
        }
        let year = self.year - i64::from(self.month <= 2);
        let month_index = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month_index + 2) / 5 + i64::from(self.day) - 1;
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let rest = self.hour * 3_600 + self.minute * 60 + self.second;
        let seconds = u64::try_from(days).ok()? * DAY_SECONDS + u64::from(rest);
        // The 31st of a shorter month would come back as the next month.
        (Self::from_unix(seconds) == self).then_some(seconds)
    }

    /// `20150830T123600Z`.
    pub fn basic(self) -> String {
        let Self { year, month, day, hour, minute, second } = self;
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
    }

    /// Reads `20150830T123600Z`.
    pub fn from_basic(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let number = |from: usize, to: usize| digits(text.get(from..to)?);
        Some(Self {
            year: i64::from(number(0, 4)?),
            month: number(4, 6)?,
            day: number(6, 8)?,
            hour: number(9, 11)?,
            minute: number(11, 13)?,
            second: number(13, 15)?,
        })
    }

    /// Reads the date of an HTTP header, `Sun, 30 Aug 2015 12:36:00 GMT`.
    pub fn from_http(text: &str) -> Option<Self> {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (_, rest) = text.split_once(", ")?;
        let words: Vec<&str> = rest.split(' ').collect();
        let [day, month, year, time, "GMT"] = words.as_slice() else {
            return None;
        };
        let parts: Vec<&str> = time.split(':').collect();
        let [hour, minute, second] = parts.as_slice() else {
            return None;
        };
        let month_index = MONTHS.iter().position(|name| name == month)?;
        Some(Self {
            year: i64::from(digits(year)?),
            month: u32::try_from(month_index).ok()? + 1,
            day: digits(day)?,
            hour: digits(hour)?,
            minute: digits(minute)?,
            second: digits(second)?,
        })
    }
}

/// A number of plain digits, without the sign that `parse` would take.
fn digits(text: &str) -> Option<u32> {
    if text.len() > 4 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_goes_there_and_back() {
        let mut day = 0;
        while day < 200 * 366 {
            let seconds = day * DAY_SECONDS + day * 7 % DAY_SECONDS;
            assert_eq!(Moment::from_unix(seconds).unix(), Some(seconds));
            day += 1;
        }
        assert_eq!(Moment::from_unix(951_827_696).basic(), "20000229T123456Z");
        assert_eq!(Moment::from_basic("20150830T123600Z").and_then(Moment::unix), Some(1_440_938_160));
        let http = Moment::from_http("Sun, 30 Aug 2015 12:36:00 GMT");
        assert_eq!(http.and_then(Moment::unix), Some(1_440_938_160));
    }

    #[test]
    fn iso_dates_have_four_forms() {
        let read = |text: &str| Timestamp::from_iso(text).map(Timestamp::millis);
        let whole = Some(1_529_360_908_000);
        for text in ["2018-06-18T22:28:28+00:00", "2018-06-18T22:28:28Z", "2018-06-18T22:28:28"] {
            assert_eq!(read(text), whole, "{text}");
        }
        assert_eq!(read("2018-06-18"), Some(1_529_280_000_000));
        assert_eq!(read("2018-06-19T00:28:28+02:00"), whole);
        for bad in ["", "2018", "2018-06-31", "2018-06-18T", "2018-06-18T22:28", "2018-06-18T22:28:28+2", "é018-06-18"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["20150230T000000Z", "20151301T000000Z", "20150101T240000Z", "00000101T000000Z"] {
            assert_eq!(Moment::from_basic(text).and_then(Moment::unix), None, "{text}");
        }
        for text in ["", "20150830T123600", "2015083éT123600Z", "+0150830T123600Z", "20150830t123600Z"] {
            assert_eq!(Moment::from_basic(text), None, "{text}");
        }
        assert_eq!(Moment::from_http("30 Aug 2015"), None);
    }

    #[test]
    fn json_carries_milliseconds() -> Result<(), Fault> {
        let stamp = Timestamp::from_millis(1_700_000_000_120);
        assert_eq!(stamp.to_json(), "1700000000.120");
        for millis in (1_700_000_000_000..).step_by(7919).take(2_000) {
            let stamp = Timestamp::from_millis(millis);
            assert_eq!(stamp.millis(), millis);
            assert_eq!(Timestamp::from_json_str(&stamp.to_json())?, stamp);
        }
        assert_eq!(Timestamp::from_json_str("1700000000")?.millis(), 1_700_000_000_000);
        assert_eq!(Timestamp(-5.0).millis(), 0);
        assert_eq!(stamp.to_string(), "2023-11-14T22:13:20.120Z");
        Ok(())
    }
}
