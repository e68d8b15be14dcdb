#!/usr/bin/env python3
"""Reads the blocks of a bucket folder by engines nobody here wrote: DuckDB and pyarrow.

    read_blocks.py BUCKET_FOLDER [--tenant T] [--series NAME]

Prints one JSON document: per block and engine the number of samples, their sum, staleness markers and checksums over
the 64 bits of every value, beside what meta.json says. Exit code 1 when anything differs; the differences are listed
under "problems". Needs duckdb and pyarrow, nothing else.
"""

import argparse
import functools
import glob
import json
import math
import operator
import os
import sys
from array import array

import duckdb
import pyarrow
import pyarrow.compute as compute
import pyarrow.parquet as parquet

STALE = 0x7FF0000000000002
VALUE = "coalesce(mantissa * mul / den, value)"


def numbers(column, code):
    """The values of an Arrow column without nulls as an array of 8-byte numbers, bit by bit."""
    out = array(code)
    for chunk in column.chunks if isinstance(column, pyarrow.ChunkedArray) else [column]:
        if len(chunk):
            data = chunk.buffers()[1]
            out.frombytes(memoryview(data)[chunk.offset * 8:(chunk.offset + len(chunk)) * 8])
    return out


def describe(values, times):
    """What two engines must agree on."""
    bits = numbers(values, "Q")
    floats = numbers(values, "d")
    return {
        "samples": len(bits),
        "finite_sum": math.fsum(v for v in floats if math.isfinite(v)),
        "ts_sum": sum(numbers(times, "q")),
        "bits_sum": str(sum(bits)),
        "bits_xor": str(functools.reduce(operator.xor, bits, 0)),
        "stale": bits.count(STALE),
    }


def by_pyarrow(files, problems):
    values, times = [], []
    for path in files:
        table = parquet.read_table(path, columns=["ts", "mantissa", "mul", "den", "value"])
        scaled = compute.divide(
            compute.cast(compute.multiply(table["mantissa"], table["mul"]), pyarrow.float64()), table["den"])
        both = compute.and_(compute.is_valid(table["mantissa"]), compute.is_valid(table["value"]))
        if compute.any(both).as_py():
            problems.append(f"{path}: a row has both mantissa and value")
        value = compute.coalesce(scaled, table["value"])
        if value.null_count:
            problems.append(f"{path}: a row has neither mantissa nor value")
        values += value.chunks
        times += table["ts"].cast(pyarrow.int64()).chunks
    return pyarrow.chunked_array(values, pyarrow.float64()), pyarrow.chunked_array(times, pyarrow.int64())


def by_duckdb(files, connection, problems):
    if not files:
        return pyarrow.chunked_array([], pyarrow.float64()), pyarrow.chunked_array([], pyarrow.int64())
    table = connection.sql(
        f"select {VALUE} as v, epoch_ms(ts) as t from read_parquet(?)", params=[files]).to_arrow_table()
    if table["v"].null_count:
        problems.append(f"{files[0]}: duckdb sees rows with neither mantissa nor value")
    return table["v"], table["t"].cast(pyarrow.int64())


def files_of(block, name):
    return sorted(glob.glob(os.path.join(glob.escape(block), "piece=*", f"{name}.parquet")))


def check_series(block, connection, problems):
    files = files_of(block, "series")
    if not files:
        return 0
    count, distinct, renamed = connection.execute(
        "select count(*), count(distinct series_hash),"
        " count(*) filter (labels['__name__'] is distinct from l___name__)"
        " from read_parquet(?, union_by_name = true)", [files]).fetchone()
    if count != distinct:
        problems.append(f"{block}: {count - distinct} series twice")
    if renamed:
        problems.append(f"{block}: {renamed} series whose promoted name differs from the map")
    return count


def check_block(block, connection, problems):
    with open(os.path.join(block, "meta.json"), encoding="utf-8") as file:
        meta = json.load(file)
    samples = files_of(block, "samples")
    arrow = describe(*by_pyarrow(samples, problems))
    duck = describe(*by_duckdb(samples, connection, problems))
    if arrow != duck:
        problems.append(f"{block}: duckdb and pyarrow differ")
    scalar = lambda query, files: connection.execute(query, [files]).fetchone()[0] if files else 0
    counted = {
        "samples": arrow["samples"],
        "series": check_series(block, connection, problems),
        "histograms": int(scalar("select coalesce(sum(n), 0) from read_parquet(?)", files_of(block, "histograms"))),
        "exemplars": scalar("select count(*) from read_parquet(?)", files_of(block, "exemplars")),
    }
    for name, got in counted.items():
        if meta["counts"][name] != got:
            problems.append(f"{block}: meta.json says {meta['counts'][name]} {name}, the files have {got}")
    return {"block": meta["block"], "tenant": meta["tenant"], "start": meta["start"], "end": meta["end"],
            "generation": meta["generation"], "counts": counted, "pyarrow": arrow, "duckdb": duck}


def check_metric(name, blocks, connection):
    """Samples and sum of one metric, joined through the series files as a user of SQL would."""
    samples, total = 0, 0.0
    for block in blocks:
        for path in files_of(block, "samples"):
            row = connection.execute(
                f"select count(*), sum({VALUE}) filter (isfinite({VALUE})) from read_parquet(?) s"
                " join read_parquet(?) l using (series_id) where l.labels['__name__'] = ?",
                [path, os.path.join(os.path.dirname(path), "series.parquet"), name]).fetchone()
            samples, total = samples + row[0], total + (row[1] or 0.0)
    return {"name": name, "samples": samples, "finite_sum": total}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bucket")
    parser.add_argument("--tenant", default="*")
    parser.add_argument("--series", help="also print samples and sum of this metric")
    arguments = parser.parse_args()
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    found = sorted(glob.glob(os.path.join(arguments.bucket, f"tenant={arguments.tenant}", "date=*", "block=*")))
    problems = []
    blocks = [check_block(block, connection, problems) for block in found]
    report = {
        "blocks": blocks,
        "totals": {
            "blocks": len(blocks),
            "samples": sum(b["counts"]["samples"] for b in blocks),
            "histograms": sum(b["counts"]["histograms"] for b in blocks),
            "exemplars": sum(b["counts"]["exemplars"] for b in blocks),
            "stale": sum(b["duckdb"]["stale"] for b in blocks),
            "finite_sum": sum(b["duckdb"]["finite_sum"] for b in blocks),
        },
        "problems": problems,
    }
    if arguments.series:
        report["series"] = check_metric(arguments.series, found, connection)
    json.dump(report, sys.stdout, indent=1)
    print()
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
