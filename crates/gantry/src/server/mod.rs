//! The control plane's shell: HTTP and websockets around `control::Control`, one thread that decides and one that makes
//! durable.

mod core;
mod durable;
mod http;
mod keeper;
mod keys;
mod logs;
mod questions;
mod vault;
mod websocket;

use crate::clock::Clock;
use crate::data_dir::{self, DataDir, EndpointFile, KeyFile};
use anyhow::{Context, Result, bail};
use keys::Keys;
use model::Ids;
use model::state::Meta;
use model::vpc::Vpc;
use node::hands::Cidr;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

pub use durable::Store;
pub use questions::BACKUP;
pub use vault::KEY as VALUES_KEY;

/// The store's file in the data directory.
pub const STATE: &str = "state.db";

/// What a control plane is started with.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where its state is.
    pub data_dir: DataDir,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its region; fixed at first start.
    pub region: String,
    /// Its account; fixed at first start.
    pub account: String,
    /// The range of its VPC; fixed at first start. `None`: 172.31.0.0/16, or the next that the host does not use.
    pub vpc_cidr: Option<Cidr>,
    /// How long a service's task must have been RUNNING to count as healthy, in milliseconds.
    pub min_healthy_ms: u64,
}

/// A control plane that runs.
pub struct Server {
    /// Where it is.
    pub endpoint: EndpointFile,
    /// The key that a node signs with.
    pub node_key: KeyFile,
    core: core::Handle,
    _lock: data_dir::Lock,
}

impl Server {
    /// Starts: opens the store, makes the deployment at first start, listens. Serves until dropped or stopped.
    pub async fn start(config: ServerConfig) -> Result<Self> {
        config.data_dir.create()?;
        let lock = config.data_dir.lock("control")?;
        let operator = operator_key(&config.data_dir)?;
        let node_key = config.data_dir.key_or_new("node.json")?;
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on {}: choose another address with --listen", config.listen))?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut store = Store::open(&config.data_dir.path(STATE), || first_state(&config))?;
        check_values_key(&config.data_dir, &mut store)?;
        let region = check_fixed(&config, &store)?;
        let settings = control::Config {
            endpoint: url.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            settle_ms: config.min_healthy_ms,
        };
        let clock = Clock::start(store.last_at());
        let core = core::start(store, settings, clock)?;
        let vault = vault::Vault::open(&config.data_dir)?;
        let keys = Arc::new(Keys::new(&operator, &node_key, region.clone(), vault));
        let logs = logs::Logs::open(&config.data_dir.path("logs.db"), core.clone(), clock)?;
        tokio::spawn(http::serve(listener, core.clone(), keys, logs));
        let endpoint = EndpointFile { url, region };
        config.data_dir.write_endpoint(&endpoint)?;
        Ok(Self { endpoint, node_key, core, _lock: lock })
    }

    /// Stops deciding once everything that was decided is durable.
    pub fn stop(&self) {
        self.core.stop();
    }
}

/// A key file's key, as a client signs with it.
pub fn signing_key(file: &KeyFile) -> wire::sigv4::Key {
    keys::key(file)
}

/// The operator's key: from the environment for automation, else made once and kept for its owner.
fn operator_key(data_dir: &DataDir) -> Result<KeyFile> {
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    match (variable("GANTRY_ACCESS_KEY_ID"), variable("GANTRY_SECRET_ACCESS_KEY")) {
        (Some(access_key_id), Some(secret_access_key)) => {
            let key = KeyFile { access_key_id, secret_access_key };
            data_dir.write_key("operator.json", &key)?;
            Ok(key)
        }
        (None, None) => data_dir.key_or_new("operator.json"),
        _ => bail!("set both GANTRY_ACCESS_KEY_ID and GANTRY_SECRET_ACCESS_KEY, or neither"),
    }
}

/// What a new deployment begins with.
fn first_state(config: &ServerConfig) -> Result<Meta> {
    if config.account.len() != 12 || !config.account.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("--account-id takes 12 digits, got {:?}", config.account);
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if config.region.is_empty() || config.region.len() > 32 || !config.region.bytes().all(plain) {
        bail!("--region takes a name like us-east-1, got {:?}", config.region);
    }
    let range = vpc_range(config.vpc_cidr)?;
    let mut ids = Ids::from_entropy(data_dir::random()?);
    let vpc = Vpc::plan(range.base, range.prefix, &config.region, &mut ids);
    let token_key = data_dir::random()?;
    Ok(Meta { region: config.region.as_str().into(), account: config.account.as_str().into(), vpc, token_key })
}

/// The range asked for, when the host does not use it already; the next free one when none was asked for.
fn vpc_range(asked: Option<Cidr>) -> Result<Cidr> {
    let used = network::host_ranges().context("cannot read the host's routes")?;
    let usual = Cidr::parse("172.31.0.0/16").context("the usual range")?;
    let wanted = asked.unwrap_or(usual);
    if !(16..=24).contains(&wanted.prefix) {
        bail!("--vpc-cidr takes a range of /16 to /24, got {wanted}");
    }
    let free = network::free_vpc_cidr(wanted, &used);
    let free = free.with_context(|| format!("{wanted} and every other private /16 is in use on this host"))?;
    if free != wanted {
        eprintln!("gantry: {wanted} is in use on this host; the VPC gets {free}");
    }
    Ok(free)
}

/// Values that are kept open with the key they were sealed with only: without it a start would hide that they are lost.
fn check_values_key(data_dir: &DataDir, store: &mut Store) -> Result<()> {
    if data_dir.path(VALUES_KEY).exists() {
        return Ok(());
    }
    let (state, _) = store.load()?;
    if state.parameters.count() > 0 || state.secrets.all().len() > 0 {
        let key = data_dir.path(VALUES_KEY);
        bail!("{} is missing: parameters and secrets were sealed with it. Put it back from a backup", key.display());
    }
    Ok(())
}

/// Region, account and range are fixed in the store: a later start with others is refused.
fn check_fixed(config: &ServerConfig, store: &Store) -> Result<String> {
    let meta = store.meta();
    let differs = |flag: &str, asked: &str, fixed: &str| {
        format!("this deployment was made with {flag} {fixed}; it cannot be started with {asked}")
    };
    if *config.region != *meta.region {
        bail!(differs("--region", &config.region, &meta.region));
    }
    if *config.account != *meta.account {
        bail!(differs("--account-id", &config.account, &meta.account));
    }
    if let Some(asked) = config.vpc_cidr.filter(|asked| asked.to_string() != meta.vpc.cidr()) {
        tracing::warn!("the VPC of this deployment is {}; --vpc-cidr {asked} is for a first start", meta.vpc.cidr());
    }
    Ok(meta.region.to_string())
}
