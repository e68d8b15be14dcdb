#!/usr/bin/env python3
"""Epimetheus beside its rivals, one after the other on this machine: ingest, queries, bytes, restart.

    benches/load/run.py --peerbench DIR [--epimetheus BIN] [--victoria-metrics BIN] [--prometheus BIN]
                        [--series 100000] [--duration 2h] [--rivals victoriametrics,prometheus] [--out DIR]

DIR holds the load generator and query bench (bench.py, built by `cargo build --release` there; the built
binaries are looked for in --tools). Prints Markdown; reports and logs stay in --out.
Standard library only. Signals only processes it started.
"""
import argparse, json, os, shutil, signal, subprocess, sys, tempfile, threading, time, urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))


def newest_even_hour():
    return int(time.time()) // 7200 * 7200


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
        subprocess.run([a.loadgen, "--url", url + "/api/v1/push", "--report", "json", "--series", str(a.series), "--interval", "15s",
                        "--duration", a.duration, "--start", str(a.start * 1000), "--churn", "5", "--seed", "1", "--batch", "2000",
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
    ap.add_argument("--series", type=int, default=100000)
    ap.add_argument("--duration", default="2h")
    ap.add_argument("--start", type=int, help="Unix seconds of the first scrape; default: the even UTC hour before the last")
    ap.add_argument("--out", default="bench-out")
    ap.add_argument("--skip-restart", action="store_true")
    a = ap.parse_args()
    a.start = a.start or newest_even_hour() - 7200
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
    reports = []
    for config, variable in servers:
        subprocess.run([sys.executable, os.path.join(a.peerbench, "bench.py"), config, "--data", os.path.join(a.work, "data"), "--out", out,
                        "--var", variable, "--loadgen", a.loadgen, "--querybench", querybench, "--series", str(a.series), "--duration", a.duration,
                        "--start", str(a.start * 1000), "--churn", "5", "--phases", "head,flushed", "--runs", "5"], check=True)
        reports.append(os.path.join(out, json.load(open(config))["name"] + ".json"))
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
    if not a.skip_restart:
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
