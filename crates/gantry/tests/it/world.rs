//! One deployment for one test: the real program with a data directory of its own, started, killed, started again, and taken
//! down at the end, after which nothing of it may be left on the host.

use crate::host;
use crate::http::{Answer, Signer, exchange};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What takes longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// What is finished is gone from the host after this time.
pub const GONE: Duration = Duration::from_secs(5);
static WORLDS: AtomicU32 = AtomicU32::new(0);
/// Two deployments that start at the same moment would choose the same free range.
static STARTS: Mutex<()> = Mutex::new(());

/// The program under test.
pub fn program() -> PathBuf {
    assert!(rustix::process::geteuid().is_root(), "these tests run containers: run them as root");
    if let Some(program) = std::env::var_os("GANTRY_BIN") {
        return program.into();
    }
    let target = Path::new(env!("CARGO_BIN_EXE_gantry")).ancestors().nth(2).expect("target").to_owned();
    let release = target.join("release/gantry");
    if release.exists() { release } else { env!("CARGO_BIN_EXE_gantry").into() }
}

/// What `cargo xtask test` tells.
pub fn told(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    value.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test --only \"gantry it\"`")).into()
}

/// An image archive.
pub fn image(name: &str) -> PathBuf {
    told("GANTRY_TEST_IMAGES").join(format!("{name}.tar"))
}

/// A limit of time, longer on a machine that is emulated or shared and says so.
pub fn patient(limit: Duration) -> Duration {
    let slowness = std::env::var("GANTRY_TEST_SLOWNESS").ok().and_then(|times| times.parse().ok());
    limit * slowness.unwrap_or(1)
}

/// Waits until `look` sees something.
pub fn eventually<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let patience = patient(patience);
    let until = Instant::now() + patience;
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(instead) if Instant::now() > until => panic!("no {what} within {patience:?}: {instead}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// A deployment.
pub struct Gantry {
    pub directory: PathBuf,
    pub signer: Signer,
    /// What a node declares for Fargate tasks, in times of its memory.
    pub memory_factor: &'static str,
    /// Further flags of its node.
    pub node_flags: Vec<&'static str>,
    /// Environment of its servers, beside the tests' own.
    pub environment: Vec<(&'static str, String)>,
    data: PathBuf,
    servers: Vec<(&'static str, Child)>,
    down: bool,
}

impl Gantry {
    /// `gantry up` with the image of busybox.
    pub fn up() -> Self {
        let mut gantry = Self::new();
        gantry.start("up");
        gantry.load("busybox");
        gantry
    }

    /// Nothing is started yet.
    pub fn new() -> Self {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("gantry-it-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let authority = "127.0.0.1:0".to_owned();
        let signer =
            Signer { authority, region: "us-east-1".into(), access_key: String::new(), secret: String::new(), skew: 0 };
        let data = directory.join("data");
        let (node_flags, environment, servers) = (Vec::new(), Vec::new(), Vec::new());
        Self { directory, signer, memory_factor: "8", node_flags, environment, data, servers, down: false }
    }

    pub fn data_dir(&self) -> PathBuf {
        self.data.clone()
    }

    /// Keeps everything elsewhere from now on. For a deployment that was not started yet.
    pub fn keep_in(&mut self, data: PathBuf) {
        self.data = data;
    }

    pub fn node_id(&self) -> String {
        fs::read_to_string(self.data_dir().join("node-id")).expect("node-id").trim().to_owned()
    }

    /// A command of the program on this deployment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).arg("--data-dir").arg(self.data_dir()).stdin(Stdio::null());
        command
    }

    /// Runs a verb to its end.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program")
    }

    /// Starts `up`, `control` or `node` and waits until it says that it is ready. A second start serves where the first did.
    pub fn start(&mut self, verb: &'static str) {
        let _alone = STARTS.lock().unwrap_or_else(PoisonError::into_inner);
        self.launch(verb);
    }

    /// Starts both halves as processes of their own.
    pub fn start_apart(&mut self) {
        // A range is taken on the host when the node comes, and not before.
        let _alone = STARTS.lock().unwrap_or_else(PoisonError::into_inner);
        self.launch("control");
        self.launch("node");
    }

    fn launch(&mut self, verb: &'static str) {
        let authority = self.signer.authority.clone();
        let factors = ["--fargate-memory-overcommit", self.memory_factor];
        let flags: &[&str] = match verb {
            "node" => &["--pool", "fargate", "--fargate-cpu-overcommit", "16"],
            _ => &["--listen", &authority, "-v"],
        };
        let mut command = self.command(&[verb]);
        let node_flags = factors.iter().chain(&self.node_flags);
        command.args(flags).args(node_flags.filter(|_| verb != "control"));
        let (out, err) = (self.directory.join(format!("{verb}.out")), self.directory.join(format!("{verb}.err")));
        let log = File::options().create(true).append(true).open(err).expect("log");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let child = command.stdout(File::create(&out).expect("out")).stderr(log).spawn().expect("the program");
        self.servers.push((verb, child));
        let line = eventually("ready server", PATIENCE, || {
            let server = &mut self.servers.last_mut().expect("just pushed").1;
            if let Some(status) = server.try_wait().expect("wait") {
                panic!("gantry {verb} ended ({status}):\n{}", self.log(verb));
            }
            let said = fs::read_to_string(&out).expect("out");
            said.lines().find(|line| line.contains(" is ready: ")).map(str::to_owned).ok_or(said)
        });
        if verb != "node" {
            self.signer.authority = line.rsplit("http://").next().expect("a URL").to_owned();
            let key: Value = read_json(&self.data_dir().join("operator.json"));
            self.signer.access_key = key["accessKeyId"].as_str().expect("key").to_owned();
            self.signer.secret = key["secretAccessKey"].as_str().expect("secret").to_owned();
        }
    }

    /// Kills a server as nothing can be caught, and collects it.
    pub fn kill(&mut self, verb: &str) {
        let at = self.servers.iter().position(|(known, _)| *known == verb).expect("such a server");
        let (_, mut server) = self.servers.remove(at);
        server.kill().expect("kill");
        server.wait().expect("wait");
    }

    /// Ends a server as an operator does, and collects it.
    pub fn terminate(&mut self, verb: &str) {
        let pid = rustix::process::Pid::from_raw(self.pid(verb) as i32).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
        self.collect(verb);
    }

    /// Waits for a server that was told to end, which must be in peace.
    pub fn collect(&mut self, verb: &str) {
        let at = self.servers.iter().position(|(known, _)| *known == verb).expect("such a server");
        let (_, mut server) = self.servers.remove(at);
        let status = eventually("ended server", PATIENCE, || match server.try_wait().expect("wait") {
            Some(status) => Ok(status),
            None => Err("it goes on".to_owned()),
        });
        assert!(status.success(), "gantry {verb} ended with {status}:\n{}", self.log(verb));
    }

    /// What a server logged.
    pub fn log(&self, verb: &str) -> String {
        fs::read_to_string(self.directory.join(format!("{verb}.err"))).unwrap_or_default()
    }

    /// The process number of a server.
    pub fn pid(&self, verb: &str) -> u32 {
        self.servers.iter().find(|(known, _)| *known == verb).expect("such a server").1.id()
    }

    pub fn load(&self, name: &str) {
        let loaded = self.cli(&["image", "load", &image(name).to_string_lossy()]);
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    }

    /// Calls an operation of ECS that must succeed.
    pub fn ecs(&self, operation: &str, input: Value) -> Value {
        let answer = self.signer.ecs(operation, input.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{operation} {input}: {}", answer.text());
        answer.json()
    }

    /// Calls an operation of ECS that must be refused: its code and message.
    pub fn refused(&self, operation: &str, input: &Value) -> (String, String) {
        fault(operation, &self.signer.ecs(operation, input.to_string().as_bytes()))
    }

    /// Calls an action of EC2 that must succeed: its XML.
    pub fn ec2(&self, action: &str) -> String {
        let body = format!("Action={action}&Version=2016-11-15");
        let headers =
            self.signer.sign("ec2", &[("content-type", "application/x-www-form-urlencoded")], body.as_bytes());
        let answer = exchange(&self.signer.authority, "POST", "/", &headers, body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{action}: {}", answer.text());
        answer.text()
    }

    /// The ids of the default VPC's subnets.
    pub fn subnets(&self) -> Vec<String> {
        let xml = self.ec2("DescribeSubnets");
        let ids = xml.split("<subnetId>").skip(1).filter_map(|rest| rest.split("</").next());
        ids.map(str::to_owned).collect()
    }

    /// Ends the deployment and sees that it leaves nothing on the host.
    pub fn take_down(mut self) {
        self.end();
    }

    /// Waits until the host has nothing of the node.
    pub fn host_is_clean(&self) {
        clean(&self.node_id());
    }

    /// For a deployment that never came to be.
    pub fn take_down_nothing(mut self) {
        self.down = true;
    }

    fn end(&mut self) {
        self.down = true;
        let node_id = self.data_dir().join("node-id").exists().then(|| self.node_id());
        let down = self.cli(&["down", "--purge"]);
        let said = String::from_utf8_lossy(&down.stderr).into_owned();
        for (_, mut server) in self.servers.drain(..) {
            if !down.status.success() {
                let _ = server.kill();
            }
            let _ = server.wait();
        }
        if std::thread::panicking() {
            return;
        }
        assert!(down.status.success(), "gantry down: {said}");
        assert!(!self.data_dir().exists(), "the data directory is still there");
        if let Some(node_id) = node_id {
            clean(&node_id);
        }
    }
}

impl Drop for Gantry {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for verb in ["up", "control", "node"] {
                let log = self.log(verb);
                let from = log.len().saturating_sub(4000);
                let from = (from..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
                eprintln!("--- end of the log of {verb}\n{}", &log[from..]);
            }
            let history = self.cli(&["history", "-n", "100"]);
            eprintln!("--- what happened\n{}", String::from_utf8_lossy(&history.stdout));
        }
        if !self.down {
            self.end();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn clean(node_id: &str) {
    eventually("clean host", GONE, || match host::of_node(node_id) {
        left if left.is_empty() => Ok(()),
        left => Err(left.join("\n")),
    });
}

pub fn read_json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("JSON")
}

/// A refusal in AWS's form: 4xx, a code, a message, and a request id.
pub fn fault(what: &str, answer: &Answer) -> (String, String) {
    assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
    assert!(answer.header("x-amzn-requestid").is_some(), "{what}: no request id in {:?}", answer.headers);
    let body = answer.json();
    let member = |names: [&str; 2]| names.iter().find_map(|name| body[*name].as_str()).map(str::to_owned);
    let code = member(["__type", "code"]).unwrap_or_else(|| panic!("{what}: no code in {body}"));
    let message = member(["message", "Message"]).unwrap_or_else(|| panic!("{what}: no message in {body}"));
    assert!(!message.is_empty(), "{what}: {code} without words");
    (code.rsplit('#').next().unwrap_or_default().to_owned(), message)
}

/// What a task's definition and network need beside the definition's name.
pub fn in_subnets(subnets: &[String]) -> Value {
    json!({ "awsvpcConfiguration": { "subnets": subnets } })
}
