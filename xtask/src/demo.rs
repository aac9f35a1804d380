//! `cargo xtask demo`: the shortest way from a fresh checkout to a page served by a Fargate task, with the time of every step
//! of its start.

use crate::command::{cargo, is_root, output, root, run, shown, target};
use crate::processes::first_process;
use crate::{images, packages};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where `nginx` is pulled from.
const REGISTRY: &str = "registry-1.docker.io:443";
/// A registry that takes longer to answer counts as out of reach.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(3);
/// A server or a task that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Options of the demo.
#[derive(clap::Args)]
pub struct Arguments {
    /// Use a data directory of its own and a free port, take everything down at the end, and fail if any of it failed
    #[arg(long)]
    once: bool,
}

impl Arguments {
    /// What automation asks for.
    pub fn once() -> Self {
        Self { once: true }
    }
}

/// Runs it.
pub fn demo(arguments: &Arguments) -> Result<()> {
    packages::ensure(packages::TO_BUILD)?;
    run(&mut cargo(&["build", "--release", "--package", "gantry"]))?;
    let target = target()?;
    let mut deployment = Deployment::new(&target, arguments.once)?;
    let shown = show(&mut deployment, &target);
    if !arguments.once {
        shown?;
        deployment.say_what_next();
        return Ok(());
    }
    let down = deployment.take_down();
    shown.and(down)?;
    println!("everything was taken down again");
    Ok(())
}

fn show(deployment: &mut Deployment, target: &Path) -> Result<()> {
    deployment.start()?;
    bring_image(deployment, target)?;
    let file = root().join("examples/webserver.json");
    let accepted = deployment.ask(&["run", "--detach", "--output", "json", &file.to_string_lossy()])?;
    let arn = accepted["taskArn"].as_str().context("no task was accepted")?.to_owned();
    println!("accepted  {arn}");
    let address = wait_running(deployment, &arn)?;
    let page = fetch(&address)?;
    let title = between(&page, "<title>", "</title>").context("the page has no title")?;
    println!("running   http://{address}/ says: {title}");
    println!("\nwhere the time went:");
    run(&mut deployment.gantry(&["timeline", &arn]))?;
    println!("\nand what it printed:");
    run(&mut deployment.gantry(&["logs", "-n", "5", &arn]))?;
    show_service(deployment, &file.to_string_lossy())
}

/// A service of two; one container's process is killed from outside, and replaced.
fn show_service(deployment: &Deployment, file: &str) -> Result<()> {
    println!("\na service of two:");
    run(&mut deployment.gantry(&["service", "create", "web", file, "-n", "2"]))?;
    let before = service_tasks(deployment)?;
    let victim = before.first().context("the service has no tasks")?.clone();
    let pid = first_process(&victim)?;
    let begun = Instant::now();
    if is_root() {
        let pid = rustix::process::Pid::from_raw(pid).context("no process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    } else {
        run(Command::new("sudo").args(["kill", "-KILL", &pid.to_string()]))?;
    }
    println!("\nkilled    process {pid}, the container of task {}", id(&victim));
    let fresh = loop {
        let now = service_tasks(deployment)?;
        if let Some(fresh) = now.iter().find(|task| !before.contains(task)).filter(|_| now.len() == 2) {
            break fresh.clone();
        }
        if begun.elapsed() > PATIENCE {
            bail!("nothing has taken the place of {victim} after {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    println!(
        "replaced  task {} runs in its place after {} ms, as this program sees it",
        id(&fresh),
        begun.elapsed().as_millis()
    );
    run(&mut deployment.gantry(&["service", "events", "web"]))?;
    run(&mut deployment.gantry(&["ps"]))
}

/// The service's tasks that run.
fn service_tasks(deployment: &Deployment) -> Result<Vec<String>> {
    let tasks = deployment.ask(&["ps", "--output", "json"])?;
    let running = tasks.as_array().into_iter().flatten().filter(|task| {
        task["group"] == "service:web" && task["lastStatus"] == "RUNNING" && task["desiredStatus"] == "RUNNING"
    });
    Ok(running.filter_map(|task| task["taskArn"].as_str().map(str::to_owned)).collect())
}

fn id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

fn bring_image(deployment: &Deployment, target: &Path) -> Result<()> {
    if registry_answers() {
        return run(&mut deployment.gantry(&["image", "pull", "nginx"]));
    }
    println!("the registry of nginx is out of reach: an image is made of Debian's packages instead");
    let archive = images::nginx(target)?;
    run(&mut deployment.gantry(&["image", "load", &archive.to_string_lossy()]))
}

/// Names are looked up by the system, which may take its time: in a thread of its own.
fn registry_answers() -> bool {
    let (sender, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let addresses = REGISTRY.to_socket_addrs().into_iter().flatten();
        let reached = addresses.take(2).any(|address| TcpStream::connect_timeout(&address, REGISTRY_TIMEOUT).is_ok());
        let _ = sender.send(reached);
    });
    answer.recv_timeout(REGISTRY_TIMEOUT).unwrap_or(false)
}

fn wait_running(deployment: &Deployment, arn: &str) -> Result<String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let tasks = deployment.ask(&["ps", "--all", "--output", "json"])?;
        let task = tasks.as_array().into_iter().flatten().find(|task| task["taskArn"] == arn);
        let task = task.context("the task is gone")?;
        match task["lastStatus"].as_str() {
            Some("RUNNING") => return address(task).context("the task has no address"),
            Some("STOPPED" | "DEPROVISIONING" | "STOPPING") => {
                bail!("the task stopped: {}", task["stoppedReason"].as_str().unwrap_or("nobody knows why"))
            }
            _ if Instant::now() > until => bail!("the task is not RUNNING after {} s", PATIENCE.as_secs()),
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn address(task: &Value) -> Option<String> {
    let details = task["attachments"].as_array()?.iter().flat_map(|attachment| attachment["details"].as_array());
    let mut details = details.flatten();
    let found = details.find(|detail| detail["name"] == "privateIPv4Address")?;
    found["value"].as_str().map(str::to_owned)
}

/// The page at an address; a server that has only just been started may take a moment to listen.
fn fetch(address: &str) -> Result<String> {
    let until = Instant::now() + PATIENCE;
    loop {
        match get(address) {
            Ok(page) => return Ok(page),
            Err(error) if Instant::now() > until => {
                return Err(error).with_context(|| format!("http://{address}/ does not answer"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn get(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((address, 80))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside.trim())
}

/// The Gantry of the demo.
struct Deployment {
    program: PathBuf,
    /// `None`: the usual one.
    data_dir: Option<PathBuf>,
    log: PathBuf,
    server: Option<Child>,
}

impl Deployment {
    fn new(target: &Path, once: bool) -> Result<Self> {
        let directory = target.join("demo");
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let number = std::process::id();
        let data_dir = once.then(|| std::env::temp_dir().join(format!("gantry-demo-{number}")));
        let log = directory.join(format!("gantry-{number}.log"));
        Ok(Self { program: target.join("release/gantry"), data_dir, log, server: None })
    }

    /// The program with the data directory; through sudo for those who need it.
    fn gantry(&self, arguments: &[&str]) -> Command {
        let mut command = if is_root() {
            Command::new(&self.program)
        } else {
            let mut command = Command::new("sudo");
            command.arg(&self.program);
            command
        };
        command.args(arguments);
        if let Some(data_dir) = &self.data_dir {
            command.arg("--data-dir").arg(data_dir);
        }
        command
    }

    /// Starts `gantry up` in a session of its own, so that it outlives this program and its terminal.
    fn start(&mut self) -> Result<()> {
        if !is_root() {
            // Asks for the password here, as the server has no terminal.
            run(Command::new("sudo").arg("-v"))?;
        }
        let log = File::create(&self.log).with_context(|| format!("cannot write {}", self.log.display()))?;
        let up: &[&str] = if self.data_dir.is_some() { &["up", "--listen", "127.0.0.1:0"] } else { &["up"] };
        let up = self.gantry(up);
        let mut command = Command::new("setsid");
        command.arg(up.get_program()).args(up.get_args());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        eprintln!("$ {}", shown(&up));
        self.server = Some(command.spawn().context("cannot run setsid")?);
        let until = Instant::now() + PATIENCE;
        loop {
            let said = fs::read_to_string(&self.log)?;
            if let Some(line) = said.lines().find(|line| line.starts_with("gantry is ready")) {
                println!("{line}");
                return Ok(());
            }
            if let Some(status) = self.server.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("gantry up ended ({status}):\n{said}");
            }
            if Instant::now() > until {
                bail!("gantry up is not ready after {} s:\n{said}", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a verb answers in JSON.
    fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = self.gantry(arguments);
        let text = output(&mut command)?;
        serde_json::from_str(&text).with_context(|| format!("{} printed no JSON", shown(&command)))
    }

    fn take_down(&mut self) -> Result<()> {
        run(&mut self.gantry(&["down", "--purge"]))?;
        if let Some(mut server) = self.server.take() {
            let status = server.wait()?;
            if !status.success() {
                let said = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("gantry up ended with {status}:\n{said}");
            }
        }
        if let Some(data_dir) = self.data_dir.as_ref().filter(|data_dir| data_dir.exists()) {
            bail!("{} is still there", data_dir.display());
        }
        let _ = fs::remove_file(&self.log);
        Ok(())
    }

    fn say_what_next(&self) {
        let (program, sudo) = (self.program.display(), if is_root() { "" } else { "sudo " });
        println!(
            "
Gantry goes on running; its log is {log}. Next, for instance:

  eval \"$({sudo}{program} env)\"    point AWS tools at it
  aws ecs list-tasks
  {sudo}{program} ps
  {sudo}{program} down             stop every task and take everything off this machine",
            log = self.log.display()
        );
    }
}
