//! `factum serve`.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use factum_server::auth::Mode;
use factum_server::tls::{PairFiles, Tls, TlsError};
use factum_server::{Options, Server, StartError};
use serde_json::json;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::yes_or_no;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::store::{self, Access};

/// How to serve.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Serves the store to the official KurrentDB and EventStoreDB clients, unchanged, and over plain HTTP, all on one port. \
Ctrl-C or SIGTERM stop it in order: subscriptions end, appends under way are answered.",
    after_long_help = "Examples:\n  factum serve --dev\n  factum serve --insecure\n  FACTUM_ADMIN_PASSWORD=… factum serve --tls-cert server.pem --tls-key server.key --listen 0.0.0.0:2113\n  factum serve --insecure --listen 0.0.0.0:2113 --advertise events.example.org:2113\n\n\
Clients connect to the first with kurrentdb://admin:changeit@localhost:2113?tlsVerifyCert=false, to the second with \
kurrentdb://localhost:2113?tls=false; esdb:// does as well."
)]
pub(crate) struct ServeArgs {
    /// The file with settings, in its section [serve], named as these options are [default: factum.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "FACTUM_CONFIG")]
    config: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:2113",
        env = "FACTUM_LISTEN"
    )]
    listen: SocketAddr,
    /// The host and port that clients are told to use, where they differ from those they used
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port, env = "FACTUM_ADVERTISE")]
    advertise: Option<(String, u16)>,
    /// To try things out: TLS with a certificate made for this run, users admin and ops with the password changeit
    #[arg(long, env = "FACTUM_DEV", value_parser = yes_or_no)]
    dev: bool,
    /// No TLS, no passwords: everybody who reaches the port may do everything
    #[arg(long, env = "FACTUM_INSECURE", value_parser = yes_or_no)]
    insecure: bool,
    /// The server's certificate in PEM, followed by those between it and the authority; taken up again when it changes
    #[arg(long, value_name = "FILE", env = "FACTUM_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// Its private key in PEM
    #[arg(long, value_name = "FILE", env = "FACTUM_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// No TLS although there are users: for a proxy on this machine that has it
    #[arg(long, env = "FACTUM_NO_TLS", value_parser = yes_or_no)]
    no_tls: bool,
    /// Write the authority of --dev's certificate there, for clients to trust
    #[arg(long, value_name = "FILE", env = "FACTUM_WRITE_CA")]
    write_ca: Option<PathBuf>,
    /// The first password of the user admin, when there are no users yet: a file with it, or FACTUM_ADMIN_PASSWORD
    #[arg(long, value_name = "FILE", env = "FACTUM_ADMIN_PASSWORD_FILE")]
    admin_password_file: Option<PathBuf>,
    /// The first password of the user ops: a file with it, or FACTUM_OPS_PASSWORD; without one, ops cannot log in
    #[arg(long, value_name = "FILE", env = "FACTUM_OPS_PASSWORD_FILE")]
    ops_password_file: Option<PathBuf>,
    /// The password itself, from the environment only
    #[arg(
        long,
        hide = true,
        env = "FACTUM_ADMIN_PASSWORD",
        hide_env_values = true
    )]
    admin_password: Option<String>,
    /// The password itself, from the environment only
    #[arg(long, hide = true, env = "FACTUM_OPS_PASSWORD", hide_env_values = true)]
    ops_password: Option<String>,
    /// Let those who give no password do what streams' access control lists allow to $all
    #[arg(long, env = "FACTUM_ALLOW_ANONYMOUS", value_parser = yes_or_no)]
    allow_anonymous: bool,
    /// Memory for events of streams that are read again and again, in MiB, beside what the system keeps; worth it where they fit into it;
    /// 0 is none, and so is 1
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(..=BLOCK_CACHE_MIB_MAX),
        env = "FACTUM_BLOCK_CACHE_MIB"
    )]
    block_cache_mib: u64,
    /// What is logged, on standard error
    #[arg(
        long,
        value_enum,
        default_value = "info",
        value_name = "LEVEL",
        env = "FACTUM_LOG"
    )]
    log: Level,
    /// How it is logged
    #[arg(
        long,
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        env = "FACTUM_LOG_FORMAT"
    )]
    log_format: LogFormat,
}

/// 1 TiB.
const BLOCK_CACHE_MIB_MAX: u64 = 1 << 20;

/// What is logged.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    /// What went wrong
    Error,
    /// And what may go wrong
    Warn,
    /// And what happened
    Info,
    /// And every connection that ended early
    Debug,
}

/// How it is logged.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

/// Serves until it is told to stop.
pub(crate) fn run(args: &ServeArgs, context: &mut Context) -> Outcome {
    begin_log(args);
    let options = options(args, context)?;
    let interrupt = Interrupt::watch(&context.env)?;
    context.block_cache_bytes = args.block_cache_mib << 20;
    let store = store::open(context, Access::Create)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start the server's threads", &error))?;
    let served = runtime.block_on(serve(options, &store, &interrupt, context));
    drop(runtime);
    let closed = store.close();
    served.and(closed)
}

/// Whether the settings go together, wherever each of them comes from.
fn check(args: &ServeArgs) -> Outcome {
    let certificate = args.tls_cert.is_some() || args.tls_key.is_some();
    let apart = [
        ((args.dev, "dev"), (args.insecure, "insecure")),
        ((args.dev, "dev"), (certificate, "tls-cert")),
        ((args.dev, "dev"), (args.no_tls, "no-tls")),
        ((args.insecure, "insecure"), (certificate, "tls-cert")),
        ((args.no_tls, "no-tls"), (certificate, "tls-cert")),
    ];
    let wrong =
        if let Some(((_, one), (_, other))) = apart.iter().find(|(one, other)| one.0 && other.0) {
            format!("{one} and {other} exclude each other")
        } else if args.tls_cert.is_some() != args.tls_key.is_some() {
            "tls-cert and tls-key belong together".to_owned()
        } else if args.write_ca.is_some() && !args.dev {
            "write-ca belongs to dev".to_owned()
        } else {
            return Ok(());
        };
    let hint = "`factum config show --origin` shows where each setting comes from";
    Err(Failure::usage(wrong).hint(hint))
}

fn options(args: &ServeArgs, context: &Context) -> Outcome<Options> {
    check(args)?;
    let mut options = Options::default();
    options.address = args.listen;
    options.advertise.clone_from(&args.advertise);
    options.auth.mode = match (args.dev, args.insecure) {
        (true, _) => Mode::Dev,
        (_, true) => Mode::Insecure,
        _ => Mode::Secure,
    };
    options.auth.admin_password = password(
        args.admin_password_file.as_deref(),
        args.admin_password.as_ref(),
    )?;
    options.auth.ops_password = password(
        args.ops_password_file.as_deref(),
        args.ops_password.as_ref(),
    )?;
    options.auth.anonymous_streams = args.allow_anonymous;
    options.tls = tls(args, context)?;
    Ok(options)
}

fn tls(args: &ServeArgs, context: &Context) -> Outcome<Option<Tls>> {
    let refused = |error: TlsError| Failure::new(Exit::Usage, "tls", error.to_string());
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let files = PairFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        };
        return Tls::of_files(context.env.clone(), files)
            .map(Some)
            .map_err(refused);
    }
    if args.dev {
        let names = args
            .advertise
            .iter()
            .map(|(host, _)| host.clone())
            .collect::<Vec<_>>();
        let tls = Tls::for_dev(&context.env, &names).map_err(refused)?;
        if let (Some(file), Some(authority)) = (&args.write_ca, tls.authority()) {
            std::fs::write(file, authority).map_err(|error| Failure::io(file.display(), &error))?;
        }
        return Ok(Some(tls));
    }
    if args.insecure || args.no_tls {
        return Ok(None);
    }
    Err(Failure::usage("passwords would be sent in the clear: there is no certificate").hint(
        "give --tls-cert and --tls-key; or --dev or --insecure to try things out; or --no-tls behind a proxy on this machine",
    ))
}

/// A password from a file, its first line, or else as given.
fn password(file: Option<&Path>, given: Option<&String>) -> Outcome<Option<String>> {
    let Some(file) = file else {
        return Ok(given.cloned());
    };
    let text =
        std::fs::read_to_string(file).map_err(|error| Failure::io(file.display(), &error))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Some(line.to_owned())),
        _ => Err(Failure::usage(format!(
            "{} has no password in its first line",
            file.display()
        ))),
    }
}

async fn serve(
    options: Options,
    store: &store::Store,
    interrupt: &Interrupt,
    context: &mut Context,
) -> Outcome {
    let (encrypted, mode) = (options.tls.is_some(), options.auth.mode);
    let server = Server::bind(store.whole.clone(), options, context.env.clone())
        .await
        .map_err(|error| match error {
            StartError::Users(_) => Failure::new(Exit::Usage, "users", error.to_string()),
            StartError::Subscriptions(_) => {
                Failure::new(Exit::Error, "subscriptions", error.to_string())
            }
            _ => Failure::new(Exit::Unreachable, "listen", error.to_string()),
        })?;
    let address = server.address();
    let scheme = if encrypted { "https" } else { "http" };
    let note = match mode {
        Mode::Insecure => " (no TLS, no passwords)",
        Mode::Dev => " (to try things out: admin and ops have the password changeit)",
        Mode::Secure => "",
    };
    let words = format!("listening on {scheme}://{address}{note}\n");
    let json = json!({ "address": address.to_string(), "tls": encrypted });
    context.ui.answer(&words, &json)?;
    context.ui.flush()?;
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "systemd was not told");
    }
    server.run(interrupt).await;
    Ok(())
}

fn begin_log(args: &ServeArgs) {
    let level = match args.log {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    // What libraries say is about their own insides.
    let ours = Targets::new().with_target("factum", level);
    let log = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => tracing_subscriber::registry()
            .with(log.with_filter(ours))
            .init(),
        LogFormat::Json => tracing_subscriber::registry()
            .with(log.json().with_filter(ours))
            .init(),
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| format!("{text:?} is not HOST:PORT"))?;
    let port = port
        .parse()
        .map_err(|error| format!("the port {port:?} of {text:?}: {error}"))?;
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() {
        return Err(format!("{text:?} names no host"));
    }
    Ok((host.to_owned(), port))
}
