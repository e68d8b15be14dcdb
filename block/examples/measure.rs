//! Encodes a dump of remote write requests as one block and reads it back: bytes per sample by file, samples
//! per second both ways, on one thread.
//!
//! `cargo run --release -p block --example measure -- FOLDER`, FOLDER as written by `loadgen --dump`.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use block::{
    BlockCache, BlockCacheOptions, BlockReader, BlockSeries, BlockSpec, BlockWriter, Bucket, BucketOptions,
    EncodedFile, series_order, upload,
};
use model::{BlockId, Labels, LogPosition, MatchOp, Matcher, SlotRange, TenantId, TimeRange};
use runtime::{Disk, RealDisk, Runtime};

type Series = HashMap<Vec<u8>, (Vec<i64>, Vec<f64>)>;

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// Calls `each` with (number, bytes of a length-delimited field or of a fixed one, value of a varint).
fn fields<'a>(bytes: &'a [u8], mut each: impl FnMut(u64, &'a [u8], u64)) {
    let mut at = 0;
    while at < bytes.len() {
        let key = varint(bytes, &mut at);
        match key & 7 {
            0 => {
                let value = varint(bytes, &mut at);
                each(key >> 3, &[], value);
            }
            1 => {
                each(key >> 3, &bytes[at..at + 8], 0);
                at += 8;
            }
            _ => {
                let length = varint(bytes, &mut at) as usize;
                each(key >> 3, &bytes[at..at + length], 0);
                at += length;
            }
        }
    }
}

fn request(bytes: &[u8], series: &mut Series) {
    fields(bytes, |_, one, _| {
        let mut labels: Vec<(&str, &str)> = Vec::new();
        let mut samples = Vec::new();
        fields(one, |number, part, _| {
            if number == 1 {
                let mut pair = ("", "");
                fields(part, |n, text, _| {
                    let text = std::str::from_utf8(text).expect("labels are UTF-8");
                    if n == 1 { pair.0 = text } else { pair.1 = text }
                });
                labels.push(pair);
            } else if number == 2 {
                let (mut value, mut t) = (0.0, 0);
                fields(part, |n, fixed, number| {
                    if n == 1 {
                        value = f64::from_le_bytes(fixed.try_into().expect("eight bytes"));
                    } else {
                        t = number.cast_signed();
                    }
                });
                samples.push((t, value));
            }
        });
        let key = Labels::new(labels).expect("labels are valid").as_bytes().to_vec();
        let (times, values) = series.entry(key).or_default();
        for (t, value) in samples {
            times.push(t);
            values.push(value);
        }
    });
}

fn load(folder: &std::path::Path) -> Vec<(Labels, Vec<i64>, Vec<f64>)> {
    let mut series = Series::new();
    for entry in RealDisk.list(folder).expect("the folder is there") {
        if entry.name.ends_with(".json") {
            continue;
        }
        let bytes = RealDisk.read(&folder.join(&entry.name)).expect("the file is readable");
        let mut at = 0;
        while at + 16 <= bytes.len() {
            let length = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
            let body = &bytes[at + 16..at + 16 + length];
            request(&snap::raw::Decoder::new().decompress_vec(body).expect("snappy"), &mut series);
            at += 16 + length;
        }
    }
    let mut all: Vec<_> = series
        .into_iter()
        .map(|(key, (times, values))| {
            let mut order: Vec<usize> = (0..times.len()).collect();
            order.sort_by_key(|i| times[*i]);
            order.dedup_by_key(|i| times[*i]);
            let labels = Labels::from_canonical(&key).expect("canonical");
            (labels, order.iter().map(|i| times[*i]).collect(), order.iter().map(|i| values[*i]).collect())
        })
        .collect();
    all.sort_by(|a: &(Labels, _, _), b| series_order(&a.0, &b.0));
    all
}

fn main() {
    let mut out = std::io::stdout().lock();
    let mut say = |text: String| writeln!(out, "{text}").expect("stdout is open");
    let arguments: Vec<String> = std::env::args().collect();
    let all = load(std::path::Path::new(&arguments[1]));
    let samples: usize = all.iter().map(|s| s.1.len()).sum();
    let start = all.iter().map(|s| s.1[0]).min().expect("samples") / 7_200_000 * 7_200_000;
    let end =
        all.iter().filter_map(|s| s.1.last()).max().expect("samples") / 7_200_000 * 7_200_000 + 7_200_000;
    say(format!("{} series, {samples} samples", all.len()));
    let runtime = Runtime::real();
    let spec = BlockSpec {
        tenant: TenantId::anonymous(),
        block: BlockId::new(1, 1),
        slots: SlotRange::ALL,
        start,
        end,
        generation: 0,
        level: 0,
        log_first: LogPosition::default(),
        log_last: LogPosition::default(),
        sources: Vec::new(),
    };
    let began = runtime.monotonic();
    let mut writer = BlockWriter::new(spec).expect("the window is not empty");
    for (labels, times, values) in &all {
        writer.push(&BlockSeries::floats(labels, times, values)).expect("sorted");
    }
    let mut files: Vec<EncodedFile> = writer.take_files();
    let (meta, rest) = writer.finish().expect("encodes");
    files.extend(rest);
    let took = runtime.monotonic().since(began).as_secs_f64();
    let total: usize = files.iter().map(|f| f.bytes.len()).sum();
    for file in &files {
        say(format!(
            "{:40} {:9} bytes {:.4} B/sample",
            file.path,
            file.bytes.len(),
            file.bytes.len() as f64 / samples as f64
        ));
    }
    say(format!(
        "all {:.4} B/sample; encode {:.1} M samples/s",
        total as f64 / samples as f64,
        samples as f64 / took / 1e6
    ));
    let bucket = Bucket::open(&runtime, &arguments[2], &BucketOptions::default()).expect("a folder");
    runtime.block_on(async {
        upload(&bucket, &meta.folder(), files).await.expect("uploads");
        let cache = BlockCache::new(&BlockCacheOptions::default());
        let reader = BlockReader::new(runtime.clone(), bucket.clone(), cache, Arc::new(meta));
        let matchers = [Matcher::new(MatchOp::Regex, "__name__", ".+").expect("a regex")];
        for round in 0..3 {
            let began = runtime.monotonic();
            let selection = reader.select(&matchers, TimeRange::all()).await.expect("selects");
            let selected = runtime.monotonic().since(began).as_secs_f64();
            let mut read = 0;
            let mut same = true;
            let began = runtime.monotonic();
            for (rows, written) in selection.rows().chunks(2000).zip(all.chunks(2000)) {
                let batch = reader.read(rows, TimeRange::all()).await.expect("reads");
                read += batch.values.len();
                if round == 0 {
                    for (i, one) in written.iter().enumerate() {
                        let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                        same &= bits(batch.values_of(i)) == bits(&one.2) && batch.timestamps_of(i) == one.1;
                    }
                }
            }
            let took = runtime.monotonic().since(began).as_secs_f64();
            say(format!(
                "select {:.1} ms; read {read} samples, {:.2} ns each{}",
                selected * 1e3,
                took / read as f64 * 1e9,
                if round > 0 {
                    ""
                } else if same {
                    ", every bit there (with the comparison)"
                } else {
                    ", DIFFERENT"
                }
            ));
        }
    });
}
