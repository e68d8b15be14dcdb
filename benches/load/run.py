#!/usr/bin/env python3
"""Epimetheus beside its rivals, one after the other on this machine: ingest, queries, bytes, restart.

    benches/load/run.py --peerbench DIR [--dataset a|b] [--epimetheus BIN] [--victoria-metrics BIN] [--prometheus BIN]
                        [--rivals victoriametrics,prometheus] [--only NAME,...] [--out DIR]

DIR holds the load generator and query bench (bench.py, built by `cargo build --release` there; the built
binaries are looked for in --tools). Prints Markdown; reports and logs stay in --out.
Data set a: 100,000 series every 15 s for 2 h. Data set b: 10,000 series every 60 s for 24 h. --series and the like
change single parameters. A run may be cut into parts: --only measures the servers named and takes the others'
reports from --out, if they are of the same data; all parts then begin at the same time by themselves.
Standard library only. Signals only processes it started.
"""
import argparse, json, os, shutil, signal, subprocess, sys, tempfile, threading, time, urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))


DATASETS = {
    "a": {"series": 100000, "interval": "15s", "duration": "2h", "churn": "5"},
    "b": {"series": 10000, "interval": "60s", "duration": "24h", "churn": "2"},
}


def newest_even_hour():
    return int(time.time()) // 7200 * 7200


def seconds(text):
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def loaded(report):
    """What data a report is of; None when there is no report."""
    try:
        with open(report) as f:
            d = json.load(f)["load"]["data"]
    except (OSError, KeyError, ValueError):
        return None
    return {"series": d["series_active"], "interval": d["interval_ms"] // 1000, "duration": (d["end_ms"] - d["start_ms"]) // 1000,
            "churn": d["churn_pct_per_hour"], "start": d["start_ms"] // 1000}


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return {k: int(v.split()[0]) for k, _, v in (l.partition(":") for l in f) if k in ("VmRSS", "VmHWM", "RssAnon")}


def ready(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as f:
            return f.status == 200
    except OSError:
        return False


def restart(binary, a, out):
    """Loads all of the data set, kills the server with -9, and times the way back."""
    data = tempfile.mkdtemp(dir=a.work)
    port, log = 19109, open(os.path.join(out, "restart.server.log"), "wb")
    url = f"http://127.0.0.1:{port}"
    cmd = [binary, f"--data.dir={data}/data", f"--http.listen=127.0.0.1:{port}", "--self-scrape.interval=0s", "--log.level=info"]

    def start():
        t = time.time()
        p = subprocess.Popen(cmd, stdout=log, stderr=log)
        while not ready(url + "/-/ready"):
            if p.poll() is not None:
                sys.exit("the server ended during the restart test; see restart.server.log")
            time.sleep(0.01)
        return p, time.time() - t

    p, _ = start()
    try:
        subprocess.run([a.loadgen, "--url", url + "/api/v1/push", "--report", "json", "--series", str(a.series), "--interval", a.interval,
                        "--duration", a.duration, "--start", str(a.start * 1000), "--churn", a.churn, "--seed", "1", "--batch", "2000",
                        "--concurrency", "4"], check=True, stdout=subprocess.DEVNULL)
        time.sleep(3)
        before = rss_kib(p.pid)
        p.send_signal(signal.SIGKILL)
        p.wait()
        p, took = start()
        after = rss_kib(p.pid)
        return {"ready_s": round(took, 2), "steady_rss_mib": before["VmRSS"] // 1024, "steady_peak_mib": before["VmHWM"] // 1024,
                "peak_rss_after_restart_mib": after["VmHWM"] // 1024}
    finally:
        p.kill()
        p.wait()
        shutil.rmtree(data, ignore_errors=True)


def main():
    ap = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    ap.add_argument("--peerbench", required=True)
    ap.add_argument("--tools", help="folder of loadgen and querybench; default PEERBENCH/target/release")
    ap.add_argument("--epimetheus", default="target/release/epimetheus")
    ap.add_argument("--victoria-metrics", default=shutil.which("victoria-metrics"))
    ap.add_argument("--prometheus", default=shutil.which("prometheus"))
    ap.add_argument("--rivals", default="victoriametrics,prometheus")
    ap.add_argument("--dataset", choices=sorted(DATASETS), default="a")
    ap.add_argument("--series", type=int)
    ap.add_argument("--interval")
    ap.add_argument("--duration")
    ap.add_argument("--churn", help="per cent of the series an hour")
    ap.add_argument("--start", type=int, help="Unix seconds of the first scrape; default: so long before the last even UTC hour as the data set is long")
    ap.add_argument("--only", help="servers to measure now; of the others the reports in --out count")
    ap.add_argument("--runs", default="5", help="timed runs of every query, at least")
    ap.add_argument("--out", default="bench-out")
    ap.add_argument("--skip-restart", action="store_true")
    a = ap.parse_args()
    for name, value in DATASETS[a.dataset].items():
        if getattr(a, name) is None:
            setattr(a, name, value)
    out = os.path.abspath(a.out)
    os.makedirs(out, exist_ok=True)
    a.work = tempfile.mkdtemp(dir=out)
    tools = a.tools or os.path.join(a.peerbench, "target/release")
    a.loadgen, querybench = os.path.join(tools, "loadgen"), os.path.join(tools, "querybench")
    binary = os.path.abspath(a.epimetheus)
    servers = [(os.path.join(HERE, "epimetheus.json"), f"EPIMETHEUS={binary}")]
    if "victoriametrics" in a.rivals and a.victoria_metrics:
        servers.append((os.path.join(a.peerbench, "configs/victoriametrics.json"), f"VICTORIAMETRICS={a.victoria_metrics}"))
    if "prometheus" in a.rivals and a.prometheus:
        servers.append((os.path.join(a.peerbench, "configs/prometheus.json"), f"PROMETHEUS={a.prometheus}"))
    names = [json.load(open(config))["name"] for config, _ in servers]
    reports = [os.path.join(out, name + ".json") for name in names]
    now = [name for name in names if not a.only or name in a.only.split(",")]
    shape = {"series": a.series, "interval": seconds(a.interval), "duration": seconds(a.duration), "churn": float(a.churn)}
    others = [loaded(report) for name, report in zip(names, reports) if name not in now]
    others = [o for o in others if o and all(o[k] == v for k, v in shape.items())]
    a.start = a.start or (others[0]["start"] if others else newest_even_hour() - shape["duration"])
    for name, (config, variable) in zip(names, servers):
        if name not in now:
            continue
        subprocess.run([sys.executable, os.path.join(a.peerbench, "bench.py"), config, "--data", os.path.join(a.work, "data"), "--out", out,
                        "--var", variable, "--loadgen", a.loadgen, "--querybench", querybench, "--series", str(a.series), "--interval", a.interval,
                        "--duration", a.duration, "--start", str(a.start * 1000), "--churn", a.churn, "--phases", "head,flushed",
                        "--runs", a.runs], check=True)
    reports = [report for report in reports if loaded(report) == {**shape, "start": a.start}]
    print("\n## Ingest\n")
    subprocess.run([sys.executable, os.path.join(a.peerbench, "report.py"), *reports], check=True)
    print("\n## Bytes on disk after flush, per sample\n")
    for path in reports:
        report = json.load(open(path))
        for folder, size in report["disk_after_flush"].items():
            if folder.count("/") <= 1 and size["bytes"] > 100000:
                print(f"- {report['name']} `{folder}`: {size['bytes_per_sample']} B ({size['files']} files)")
    print("\n## Queries: ms (server CPU ms)\n")
    table(out, reports)
    if not a.skip_restart and "epimetheus" in now:
        print("\n## Restart after kill -9, everything in the head\n")
        print(json.dumps(restart(binary, a, out)))
    shutil.rmtree(a.work, ignore_errors=True)


def table(out, reports):
    columns, rows = [], {}
    for path in reports:
        name = json.load(open(path))["name"]
        for phase in ("head", "flushed"):
            file = os.path.join(out, f"{name}.{phase}.queries.json")
            if not os.path.exists(file):
                continue
            columns.append(f"{name} {phase}")
            for q in json.load(open(file))["queries"]:
                rows.setdefault(q["name"], {})[columns[-1]] = q
    print("| query | " + " | ".join(columns) + " |\n|---" + "|---" * len(columns) + "|")
    sums = {c: [0.0, 0.0] for c in columns}
    for name, cells in rows.items():
        texts = []
        for c in columns:
            q = cells.get(c)
            if not q or q.get("error"):
                texts.append("failed")
                continue
            ms, cpu = q["median_ms"], q["cpu_ms"] or 0
            sums[c][0] += ms
            sums[c][1] += cpu
            texts.append(f"{ms:.1f} ({cpu:.1f})")
        print(f"| {name} | " + " | ".join(texts) + " |")
    print("| **sum** | " + " | ".join(f"{sums[c][0]:.0f} ({sums[c][1]:.0f})" for c in columns) + " |")


if __name__ == "__main__":
    main()
