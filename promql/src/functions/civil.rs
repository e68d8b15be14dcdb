//! Calendar dates of Unix times, UTC, proleptic Gregorian.

/// A date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// 0 is Sunday.
    pub weekday: i64,
    /// 1 is 1 January.
    pub day_of_year: i64,
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Years before year 0 at which Go's absolute time begins.
const FIRST_YEAR: i64 = 292_277_022_400;

impl Civil {
    /// Of a Unix time in seconds.
    pub(crate) fn from_unix(seconds: i64) -> Self {
        // Seconds since 1 March of the year -FIRST_YEAR, modulo 2^64: as Go counts, so that times before that day
        // wrap around into the far future, in the same year as there.
        let absolute = seconds.wrapping_add((FIRST_YEAR / 400 * 146_097 + 719_468) * 86_400) as u64;
        let (days, rest) = ((absolute / 86_400) as i64, (absolute % 86_400) as i64);
        // eras of 400 years
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_march_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_march_year + 2) / 153;
        let day = day_of_march_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 - FIRST_YEAR + i64::from(month <= 2);
        let before: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let index = usize::try_from(month - 1).unwrap_or(0);
        let day_of_year = before[index] + day + i64::from(month > 2 && is_leap(year));
        Civil {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest % 3600 / 60,
            second: rest % 60,
            // the first day was a Wednesday
            weekday: (days + 3) % 7,
            day_of_year,
        }
    }

    /// Days of the month.
    pub(crate) fn days_in_month(self) -> i64 {
        match self.month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + i64::from(is_leap(self.year)),
            _ => 31,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_found() {
        let epoch = Civil::from_unix(0);
        assert_eq!(
            (epoch.year, epoch.month, epoch.day, epoch.weekday, epoch.day_of_year),
            (1970, 1, 1, 4, 1)
        );
        let leap = Civil::from_unix(1_456_790_399);
        assert_eq!((leap.year, leap.month, leap.day, leap.hour, leap.day_of_year), (2016, 2, 29, 23, 60));
        assert_eq!(leap.days_in_month(), 29);
        let before = Civil::from_unix(-1);
        assert_eq!((before.year, before.month, before.day, before.second), (1969, 12, 31, 59));
        let wrapped = Civil::from_unix(i64::MIN);
        assert_eq!((wrapped.year, wrapped.minute), (292_277_026_596, 30));
    }
}
