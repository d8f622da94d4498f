//! The older text format of Prometheus (0.0.4), made of that of OpenMetrics: for tools that know no other, `promtool` among them.
//!
//! Names of counters and infos stand there as they are written in samples; units and the end are not said. Never: changes a number.

/// Its content type.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The same numbers.
pub(super) fn plain(open: &str) -> String {
    let mut plain = String::with_capacity(open.len() + 256);
    let mut help = "";
    for line in open.lines() {
        let Some(said) = line.strip_prefix("# ") else {
            plain.extend([line, "\n"]);
            continue;
        };
        // The help of a name comes before its type.
        if let Some(said) = said.strip_prefix("HELP ") {
            help = said;
        } else if let Some((name, kind)) =
            said.strip_prefix("TYPE ").and_then(|it| it.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            if let Some(words) = help.strip_prefix(name) {
                plain.extend(["# HELP ", name, suffix, words, "\n"]);
            }
            plain.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn names_are_those_of_the_samples() {
        let open = "# HELP a_build Which.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n# HELP a_events Events.\n\
            # TYPE a_events counter\na_events_total 7\n# HELP a_open_seconds Open.\n# TYPE a_open_seconds gauge\n\
            # UNIT a_open_seconds seconds\na_open_seconds 2\n# EOF\n";
        let expected = "# HELP a_build_info Which.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
            # HELP a_events_total Events.\n# TYPE a_events_total counter\na_events_total 7\n# HELP a_open_seconds Open.\n\
            # TYPE a_open_seconds gauge\na_open_seconds 2\n";
        assert_eq!(plain(open), expected);
    }
}
