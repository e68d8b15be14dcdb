//! The bounds of exponential buckets: powers of two that Prometheus has in a table, to its last digit.

use std::sync::OnceLock;

/// What Prometheus's table of bounds has in its last digit beyond the nearest float: `4` nothing, `3` one unit
/// less, and so on, for each of 256 steps. Bounds are part of answers, and answers are compared as text.
const LAST_DIGIT: &[u8; 256] = b"4444443444344444443244333333333344344434433344334433453344334433\
    4444443333223423443444344443444444434544342244334333443434223333\
    3434332233233433333333232322232244334434332234223322343323223323\
    3312332322122212222222111100120133233222231133222312332222012211";

/// 2^(i/256) for i below 256, as Prometheus has it.
pub fn bucket_powers() -> &'static [f64; 256] {
    static POWERS: OnceLock<[f64; 256]> = OnceLock::new();
    POWERS.get_or_init(|| {
        let mut out = [1.0; 256];
        // 2^(1/2), 2^(1/4), … as sums of two floats, so that every product rounds right
        let mut root = (2.0, 0.0);
        let roots: Vec<(f64, f64)> = (0..8)
            .map(|_| {
                root = double_root(root);
                root
            })
            .collect();
        for (i, power) in out.iter_mut().enumerate() {
            let mut product = (1.0, 0.0);
            for (bit, root) in roots.iter().enumerate() {
                if i & (128 >> bit) != 0 {
                    product = double_product(product, *root);
                }
            }
            let nearest = (product.0 + product.1).to_bits();
            *power = f64::from_bits(nearest + u64::from(LAST_DIGIT[i]) - u64::from(b'4'));
        }
        out
    })
}

fn double_product(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let high = a.0 * b.0;
    let low = a.0.mul_add(b.0, -high) + (a.0 * b.1 + a.1 * b.0);
    let sum = high + low;
    (sum, low - (sum - high))
}

fn double_root(a: (f64, f64)) -> (f64, f64) {
    // one step of Newton's method doubles the digits that the float root has
    let root = a.0.sqrt();
    let square = double_product((root, 0.0), (root, 0.0));
    let rest = ((a.0 - square.0) - square.1) + a.1;
    let low = rest / (2.0 * root);
    let sum = root + low;
    (sum, low - (sum - root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_prometheus() {
        let powers = bucket_powers();
        assert_eq!(powers[0], 1.0);
        assert_eq!(powers[128] / 2.0, 0.7071067811865475);
        assert_eq!(powers[64] / 2.0, 0.5946035575013605);
        assert!(powers.is_sorted());
        assert_eq!((powers[1], powers[255]), (1.0027112750502025, 1.9945921121709396));
        let mixed = powers.iter().fold(0u64, |h, v| (h ^ v.to_bits()).wrapping_mul(0x100_0000_01b3));
        assert_eq!(mixed, 0xacbbbfaac613ccef);
    }
}
