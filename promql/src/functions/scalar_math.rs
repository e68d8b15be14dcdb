//! Functions and operators from floats to a float.

use super::Civil;
use crate::ast::BinaryOp;

/// A function of one float.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum SampleFunction {
    Abs,
    Ceil,
    Floor,
    Exp,
    Sqrt,
    Ln,
    Log2,
    Log10,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    Rad,
    Deg,
    Sgn,
    DaysInMonth,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Month,
    Year,
}

impl SampleFunction {
    /// By name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "abs" => Self::Abs,
            "ceil" => Self::Ceil,
            "floor" => Self::Floor,
            "exp" => Self::Exp,
            "sqrt" => Self::Sqrt,
            "ln" => Self::Ln,
            "log2" => Self::Log2,
            "log10" => Self::Log10,
            "sin" => Self::Sin,
            "cos" => Self::Cos,
            "tan" => Self::Tan,
            "asin" => Self::Asin,
            "acos" => Self::Acos,
            "atan" => Self::Atan,
            "sinh" => Self::Sinh,
            "cosh" => Self::Cosh,
            "tanh" => Self::Tanh,
            "asinh" => Self::Asinh,
            "acosh" => Self::Acosh,
            "atanh" => Self::Atanh,
            "rad" => Self::Rad,
            "deg" => Self::Deg,
            "sgn" => Self::Sgn,
            "days_in_month" => Self::DaysInMonth,
            "day_of_month" => Self::DayOfMonth,
            "day_of_week" => Self::DayOfWeek,
            "day_of_year" => Self::DayOfYear,
            "hour" => Self::Hour,
            "minute" => Self::Minute,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return None,
        })
    }

    /// Its value.
    pub(crate) fn apply(self, v: f64) -> f64 {
        match self {
            Self::Abs => v.abs(),
            Self::Ceil => v.ceil(),
            Self::Floor => v.floor(),
            Self::Exp => v.exp(),
            Self::Sqrt => v.sqrt(),
            Self::Ln => v.ln(),
            Self::Log2 => v.log2(),
            Self::Log10 => v.log10(),
            Self::Sin => v.sin(),
            Self::Cos => v.cos(),
            Self::Tan => v.tan(),
            Self::Asin => v.asin(),
            Self::Acos => v.acos(),
            Self::Atan => v.atan(),
            Self::Sinh => v.sinh(),
            Self::Cosh => v.cosh(),
            Self::Tanh => v.tanh(),
            Self::Asinh => libm::asinh(v),
            Self::Acosh => libm::acosh(v),
            Self::Atanh => libm::atanh(v),
            Self::Rad => v * std::f64::consts::PI / 180.0,
            Self::Deg => v * 180.0 / std::f64::consts::PI,
            Self::Sgn => {
                if v < 0.0 {
                    -1.0
                } else if v > 0.0 {
                    1.0
                } else {
                    v
                }
            }
            date => date.of_date(v),
        }
    }

    fn of_date(self, v: f64) -> f64 {
        // Go's conversion of what does not fit is the smallest integer
        let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&v);
        let date = Civil::from_unix(if fits { v as i64 } else { i64::MIN });
        let number = match self {
            Self::DaysInMonth => date.days_in_month(),
            Self::DayOfMonth => date.day,
            Self::DayOfWeek => date.weekday,
            Self::DayOfYear => date.day_of_year,
            Self::Hour => date.hour,
            Self::Minute => date.minute,
            Self::Month => date.month,
            _ => date.year,
        };
        number as f64
    }
}

/// An arithmetic operator; `None` for other operators.
#[inline]
pub(crate) fn arithmetic(op: BinaryOp, a: f64, b: f64) -> Option<f64> {
    Some(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Pow => pow(a, b),
        BinaryOp::Mod => a % b,
        BinaryOp::Atan2 => a.atan2(b),
        _ => return None,
    })
}

/// Go's `math.Pow` differs from C's in nothing but `pow(-1, ±Inf) = 1`, which both have.
fn pow(a: f64, b: f64) -> f64 {
    a.powf(b)
}

/// A comparison; `None` for other operators.
#[inline]
pub(crate) fn compare(op: BinaryOp, a: f64, b: f64) -> Option<bool> {
    Some(match op {
        BinaryOp::Equal => a == b,
        BinaryOp::NotEqual => a != b,
        BinaryOp::Greater => a > b,
        BinaryOp::Less => a < b,
        BinaryOp::GreaterEqual => a >= b,
        BinaryOp::LessEqual => a <= b,
        _ => return None,
    })
}

/// The smaller one, as Go has it: -Inf wins over NaN, NaN over the rest.
pub(crate) fn go_min(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

/// The larger one, as Go has it: +Inf wins over NaN, NaN over the rest.
pub(crate) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}
