//! The page at `/`: what listens where, and the lines to paste.

use crate::config::Config;

/// Lines for prometheus.yml.
pub(crate) fn remote_write_snippet(config: &Config) -> String {
    let headers = if config.multi_tenancy { "\n    headers:\n      X-Scope-OrgID: your-tenant" } else { "" };
    format!("remote_write:\n  - url: http://{}/api/v1/push{headers}", reachable(config))
}

/// The address with a host that one can type on this machine.
fn reachable(config: &Config) -> String {
    let address = config.http_listen;
    if address.ip().is_unspecified() { format!("localhost:{}", address.port()) } else { address.to_string() }
}

/// The page.
pub(crate) fn page(config: &Config, version: &str) -> String {
    let links = [
        ("/api/v1/query?query=up", "instant query: <code>up</code>"),
        ("/api/v1/labels", "label names"),
        ("/api/v1/label/__name__/values", "metric names"),
        ("/api/v1/metadata", "metadata"),
        ("/api/v1/status/tsdb", "series and labels that count most"),
        ("/api/v1/status/runtimeinfo", "runtime"),
        ("/api/v1/status/buildinfo", "version"),
        ("/api/v1/status/config", "configuration in force"),
        ("/api/v1/status/flags", "flags in force"),
        ("/metrics", "own metrics"),
        ("/-/healthy", "alive?"),
        ("/-/ready", "able to read and write?"),
    ]
    .iter()
    .map(|(path, text)| format!("<tr><td><a href=\"{path}\">{path}</a></td><td>{text}</td></tr>\n"))
    .collect::<String>();
    let base = format!("http://{}", reachable(config));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Epimetheus</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}}\
         pre{{background:#f4f4f2;padding:1rem;overflow:auto}}td{{padding:.15rem 1.5rem .15rem 0}}\
         @media(prefers-color-scheme:dark){{body{{background:#16181a;color:#ddd}}pre{{background:#222}}a{{color:#8bf}}}}</style>\
         </head><body>\n<h1>Epimetheus</h1>\n\
         <p>Long-term store for Prometheus metrics, version {version}. Blocks are kept in <code>{bucket}</code>.</p>\n\
         <h2>Write</h2><p>Add to <code>prometheus.yml</code>:</p>\n<pre>{snippet}</pre>\n\
         <h2>Read</h2><p>In Grafana, add a data source of type Prometheus with the URL <code>{base}</code>. Or:</p>\n\
         <pre>epimetheus query instant {base} 'up'\ncurl '{base}/api/v1/query?query=up'</pre>\n\
         <h2>Endpoints</h2>\n<table>{links}</table>\n</body></html>\n",
        bucket = html(&config.bucket),
        snippet = html(&remote_write_snippet(config)),
    )
}

/// Text made harmless inside HTML.
fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ServeArgs;

    #[test]
    fn the_page_shows_the_lines_to_paste_and_escapes_what_is_configured() {
        let args = ServeArgs {
            bucket: Some("<b>".to_owned()),
            http_listen: Some(":1234".to_owned()),
            multi_tenancy: true,
            ..ServeArgs::default()
        };
        let page = page(&Config::load(&args).unwrap(), "0");
        assert!(page.contains("- url: http://localhost:1234/api/v1/push"));
        assert!(page.contains("X-Scope-OrgID: your-tenant"));
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"));
    }
}
