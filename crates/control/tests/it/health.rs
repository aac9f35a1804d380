//! Health checks as the control plane sees them: what it is told over telemetry, what it shows, what services make of it.

use super::services::number;
use super::{Desk, node, operator, text};
use control::{Caller, Input};
use link::tcs::{ContainerHealth, PublishHealth, TaskHealth};
use model::task::{Desired, TaskStatus};
use serde_json::{Value, json};

impl Desk {
    fn checked(&mut self, check: Value) {
        let container = |name: &str| json!({"name": name, "image": "nginx", "essential": name == "web"});
        let mut web = container("web");
        web["healthCheck"] = check;
        let input = json!({"family": "webserver", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc",
            "cpu": "256", "memory": "512", "containerDefinitions": [web, container("side")]});
        self.ok("RegisterTaskDefinition", input);
    }

    fn says(&mut self, caller: Caller, task: &str, container: &str, status: &str) {
        let container =
            ContainerHealth { container_name: container.into(), health_status: status.into(), status_since: 1.0 };
        let task = TaskHealth { task_arn: task.into(), containers: vec![container], ..Default::default() };
        let frame = PublishHealth { tasks: vec![task], ..Default::default() }.encode();
        self.now += 1;
        self.control.handle(self.now, Input::Telemetry { caller, frame });
        self.round();
    }

    fn health(&mut self, task: &str) -> (String, String) {
        let shown = self.ok("DescribeTasks", json!({"tasks": [task]}));
        let of = |pointer: &str| text(&shown, pointer).to_owned();
        (of("/tasks/0/healthStatus"), of("/tasks/0/containers/0/healthStatus"))
    }

    /// Tasks that are wanted RUNNING, the oldest first.
    fn live(&self) -> Vec<String> {
        let state = self.control.state();
        let live = state.tasks.values().filter(|task| task.desired == Desired::Running);
        let mut live: Vec<_> = live.map(|task| (task.times.created, state.task_arn(task))).collect();
        live.sort();
        live.into_iter().map(|(_, arn)| arn).collect()
    }

    fn runs(&mut self, task: &str) {
        self.call(node(), "SubmitTaskStateChange", json!({"task": task, "status": "RUNNING"})).unwrap();
    }

    fn later(&mut self, ms: u64) {
        self.now += ms;
        self.control.handle_time(self.now);
        self.round();
    }

    fn with_service(desired: u32, extra: Value) -> Self {
        let mut desk = Self::new();
        (0..4).for_each(|_| drop(desk.host()));
        desk.checked(json!({"command": ["CMD", "true"]}));
        let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
        let mut input = json!({"serviceName": "web", "taskDefinition": "webserver", "launchType": "FARGATE",
            "desiredCount": desired, "networkConfiguration": network});
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        desk.ok("CreateService", input);
        desk
    }

    fn service_now(&mut self) -> Value {
        self.ok("DescribeServices", json!({"services": ["web"]}))["services"][0].clone()
    }
}

fn pair(task: &str, container: &str) -> (String, String) {
    (task.to_owned(), container.to_owned())
}

#[test]
fn health_is_shown_kept_and_taken_from_the_tasks_own_node_only() {
    let mut desk = Desk::new();
    desk.host();
    desk.checked(json!({"command": ["CMD-SHELL", "true"]}));
    let run = desk.run_web();
    let task = text(&run, "/tasks/0/taskArn").to_owned();
    desk.runs(&task);
    assert_eq!(desk.health(&task), pair("UNKNOWN", "UNKNOWN"));
    let stranger = Caller { access_key: "OTHER".into(), ..node() };
    desk.says(stranger, &task, "web", "UNHEALTHY");
    desk.says(node(), &task, "side", "UNHEALTHY");
    desk.says(node(), &task, "web", "SPLENDID");
    desk.says(node(), "arn:aws:ecs:us-east-1:000000000000:task/default/x", "web", "HEALTHY");
    desk.control.handle(desk.now, Input::Telemetry { caller: node(), frame: "{".into() });
    let before = desk.batches.len();
    assert_eq!(desk.health(&task), pair("UNKNOWN", "UNKNOWN"));
    desk.says(node(), &task, "web", "HEALTHY");
    assert_eq!(desk.health(&task), pair("HEALTHY", "HEALTHY"));
    desk.says(node(), &task, "web", "HEALTHY");
    assert_eq!(desk.batches.len(), before + 1, "a repetition costs no commit");
    desk.says(operator(), &task, "web", "UNHEALTHY");
    assert_eq!(desk.health(&task), pair("UNHEALTHY", "UNHEALTHY"));
    assert_eq!(desk.live(), [task], "a task of no service is only reported");
}

#[test]
fn a_checked_task_counts_when_its_check_passes_and_not_before() {
    let mut desk = Desk::with_service(1, json!({}));
    let [task] = desk.live().try_into().unwrap();
    desk.runs(&task);
    desk.later(60_000);
    assert_eq!(number(&desk.service_now(), "/runningCount"), 0, "time proves nothing here");
    desk.says(node(), &task, "web", "HEALTHY");
    let shown = desk.service_now();
    assert_eq!((number(&shown, "/runningCount"), text(&shown, "/deployments/0/rolloutState")), (1, "COMPLETED"));
}

#[test]
fn an_unhealthy_task_is_stopped_once_its_replacement_is_healthy() {
    let mut desk = Desk::with_service(2, json!({}));
    let tasks = desk.live();
    for task in &tasks {
        desk.runs(task);
        desk.says(node(), task, "web", "HEALTHY");
    }
    desk.says(node(), &tasks[0], "web", "UNHEALTHY");
    let now = desk.live();
    assert_eq!((now.len(), now[..2] == tasks[..]), (3, true), "replaced first");
    desk.runs(&now[2]);
    assert_eq!(desk.live().len(), 3, "running is not healthy");
    desk.says(node(), &now[2], "web", "HEALTHY");
    assert_eq!(desk.live(), now[1..]);
    let shown = desk.ok("DescribeTasks", json!({"tasks": [tasks[0]]}));
    assert_eq!(text(&shown, "/tasks/0/stoppedReason"), "Task failed container health checks");
    assert_eq!(text(&shown, "/tasks/0/stopCode"), "ServiceSchedulerInitiated");
    let service = desk.service_now();
    let id = tasks[0].rsplit('/').next().unwrap();
    let words = format!("(service web) (task {id}) failed container health checks.");
    assert!(service["events"].as_array().unwrap().iter().any(|e| text(e, "/message") == words), "{service}");
    assert_eq!(number(&service, "/deployments/0/failedTasks"), 1);
}

#[test]
fn without_room_an_unhealthy_task_is_stopped_first() {
    let configuration = json!({"minimumHealthyPercent": 50, "maximumPercent": 100});
    let mut desk = Desk::with_service(2, json!({"deploymentConfiguration": configuration}));
    let tasks = desk.live();
    for task in &tasks {
        desk.runs(task);
        desk.says(node(), task, "web", "HEALTHY");
    }
    desk.says(node(), &tasks[1], "web", "UNHEALTHY");
    let now = desk.live();
    assert_eq!((now.len(), now.contains(&tasks[0]), now.contains(&tasks[1])), (2, true, false));
}

#[test]
fn one_that_recovers_before_its_replacement_makes_it_superfluous() {
    let mut desk = Desk::with_service(1, json!({}));
    let [task] = desk.live().try_into().unwrap();
    desk.runs(&task);
    desk.says(node(), &task, "web", "UNHEALTHY");
    assert_eq!(desk.live().len(), 2);
    desk.says(node(), &task, "web", "HEALTHY");
    assert_eq!(desk.live(), [task]);
}

#[test]
fn the_grace_period_ignores_failures_and_ends() {
    let mut desk = Desk::with_service(1, json!({"healthCheckGracePeriodSeconds": 30}));
    assert_eq!(number(&desk.service_now(), "/healthCheckGracePeriodSeconds"), 30);
    let [task] = desk.live().try_into().unwrap();
    desk.runs(&task);
    desk.says(node(), &task, "web", "UNHEALTHY");
    desk.later(29_000);
    assert_eq!(desk.live(), [task], "still in its grace");
    assert!(desk.control.next_wake().is_some_and(|at| at <= desk.now + 1_000));
    desk.later(1_100);
    assert_eq!(desk.live().len(), 2);
    let (_, message) = desk.refused("UpdateService", json!({"service": "web", "healthCheckGracePeriodSeconds": -1}));
    assert!(message.contains("healthCheckGracePeriodSeconds"), "{message}");
}

#[test]
fn a_service_whose_tasks_never_pass_is_tried_with_patience() {
    let mut desk = Desk::with_service(1, json!({}));
    for _ in 0..200 {
        for task in desk.live() {
            desk.runs(&task);
            desk.says(node(), &task, "web", "UNHEALTHY");
        }
        desk.later(500);
        assert!(desk.live().len() <= 2, "never more than the bounds allow");
    }
    let failed = number(&desk.service_now(), "/deployments/0/failedTasks");
    assert!((4..12).contains(&failed), "{failed} in 100 s");
    let alive = desk.control.state().tasks.values().filter(|task| task.status != TaskStatus::Stopped).count();
    assert!(alive >= 1);
}

#[test]
fn what_containers_say_of_their_lives_is_checked() {
    let mut desk = Desk::new();
    let mut refused = |first: Value, second: Value, extra: Value| {
        let container = |name: &str, more: Value| {
            let mut all = json!({"name": name, "image": "x", "memory": 64});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let mut input = json!({"family": "f", "networkMode": "awsvpc",
            "containerDefinitions": [container("a", first), container("b", second)]});
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let (code, message) = desk.refused("RegisterTaskDefinition", input);
        assert_eq!(code, "ClientException", "{message}");
        message
    };
    let on = |name: &str, condition: &str| json!({"dependsOn": [{"containerName": name, "condition": condition}]});
    let check = |check: Value| json!({"healthCheck": check});
    let tmpfs = |path: &str, options: Value| json!({"linuxParameters": {"tmpfs": [{"containerPath": path, "size": 1, "mountOptions": options}]}});
    let fargate_bare = json!({"requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"});
    let none = || json!({});
    let fargate = json!({"requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
        "volumes": [{"name": "v", "host": {"sourcePath": "/srv"}}]});
    for (first, second, extra, words) in [
        (on("b", "START"), on("a", "START"), none(), "cycle"),
        (on("a", "START"), none(), none(), "cycle"),
        (on("c", "START"), none(), none(), "not in the task definition"),
        (on("b", "HEALTHY"), none(), none(), "must have a health check"),
        (on("b", "HEALTHY"), check(json!({"command": ["NONE"]})), none(), "must have a health check"),
        (on("b", "SUCCESS"), none(), none(), "SUCCESS or COMPLETE condition cannot be an essential container"),
        (check(json!({"command": []})), none(), none(), "must not be empty"),
        (check(json!({"command": ["curl"]})), none(), none(), "must begin with CMD"),
        (check(json!({"command": ["CMD"]})), none(), none(), "must begin with CMD"),
        (check(json!({"command": ["CMD-SHELL", "a", "b"]})), none(), none(), "one text"),
        (check(json!({"command": ["CMD", "a\u{0}"]})), none(), none(), "must name what to run"),
        (check(json!({"command": ["CMD", "a"], "interval": 4})), none(), none(), "between 5 and 300"),
        (check(json!({"command": ["CMD", "a"], "timeout": 1})), none(), none(), "between 2 and 60"),
        (check(json!({"command": ["CMD", "a"], "retries": 11})), none(), none(), "between 1 and 10"),
        (check(json!({"command": ["CMD", "a"], "startPeriod": 301})), none(), none(), "between 0 and 300"),
        (json!({"restartPolicy": {"enabled": true, "restartAttemptPeriod": 59}}), none(), none(), "60 and 1800"),
        (json!({"startTimeout": -1}), none(), none(), "startTimeout"),
        (json!({"mountPoints": [{"sourceVolume": "v", "containerPath": "/a"}]}), none(), none(), "Unknown volume 'v'."),
        (json!({"volumesFrom": [{"sourceContainer": "a"}]}), none(), none(), "another container"),
        (none(), none(), json!({"volumes": [{"name": "v"}, {"name": "v"}]}), "Duplicate volume"),
        (none(), none(), json!({"volumes": [{"name": "v", "host": {"sourcePath": "srv"}}]}), "absolute"),
        (none(), none(), json!({"volumes": [{"name": "v", "host": {"sourcePath": "/a/../b"}}]}), "absolute"),
        (
            json!({"mountPoints": [{"sourceVolume": "v", "containerPath": "/a/../../b"}]}),
            none(),
            json!({"volumes": [{"name": "v"}]}),
            "without '..'",
        ),
        (
            json!({"mountPoints": [{"sourceVolume": "v", "containerPath": "/"}]}),
            none(),
            json!({"volumes": [{"name": "v"}]}),
            "not the root",
        ),
        (json!({"hostname": "h"}), none(), none(), "hostname is not supported on container when networkMode=awsvpc"),
        (
            json!({"extraHosts": [{"hostname": "h", "ipAddress": "1.1.1.1"}]}),
            none(),
            none(),
            "extraHosts is not supported on container when networkMode=awsvpc",
        ),
        (json!({"dnsServers": ["1.1.1.1"]}), none(), json!({"networkMode": "host"}), "when networkMode=host"),
        (json!({"hostname": "h"}), none(), json!({"networkMode": "none"}), "when networkMode=none"),
        (json!({"hostname": "a\nb"}), none(), none(), "a host name"),
        (json!({"dnsServers": ["1.1.1.1\noptions x"]}), none(), none(), "IPv4 addresses"),
        (json!({"dnsSearchDomains": ["a b"]}), none(), none(), "domain names"),
        (json!({"extraHosts": [{"hostname": "h x", "ipAddress": "1.1.1.1"}]}), none(), none(), "a host name"),
        (json!({"extraHosts": [{"hostname": "h", "ipAddress": "1.1.1"}]}), none(), none(), "an IP address"),
        (json!({"linuxParameters": {"sharedMemorySize": 0}}), none(), none(), "must be positive"),
        (tmpfs("/a/../..", json!([])), none(), none(), "absolute containerPath"),
        (tmpfs("/a", json!(["noexec", "size=9"])), none(), none(), "has no option"),
        (tmpfs("/a", json!([])), none(), fargate_bare, "linuxParameters.tmpfs"),
        (none(), none(), fargate, "do not support the host.sourcePath volume parameter"),
    ] {
        let message = refused(first, second, extra);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn what_a_definition_says_travels_in_the_agents_shape() {
    let mut desk = Desk::new();
    desk.host();
    let db = json!({"name": "db", "image": "x", "startTimeout": 9, "healthCheck": {"command": ["CMD-SHELL", "ok"]},
        "linuxParameters": {"sharedMemorySize": 8, "tmpfs": [{"containerPath": "/t", "size": 4}]},
        "dnsServers": ["10.0.0.1"], "mountPoints": [{"sourceVolume": "v", "containerPath": "/v", "readOnly": true}]});
    let web = json!({"name": "web", "image": "x", "dependsOn": [{"containerName": "db", "condition": "HEALTHY"}],
        "restartPolicy": {"enabled": true, "ignoredExitCodes": [0]}, "volumesFrom": [{"sourceContainer": "db"}]});
    let input = json!({"family": "webserver", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "containerDefinitions": [db, web], "volumes": [{"name": "v", "host": {"sourcePath": "/srv"}}]});
    desk.ok("RegisterTaskDefinition", input);
    desk.frames.clear();
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    desk.ok("RunTask", json!({"taskDefinition": "webserver", "launchType": "EC2", "networkConfiguration": network}));
    let frame: Value = serde_json::from_str(&desk.frames[0]).unwrap();
    let task = &frame["message"]["tasks"][0];
    assert_eq!(task["volumes"], json!([{"name": "v", "type": "host", "host": {"sourcePath": "/srv"}}]));
    let [db, web] = [&task["containers"][0], &task["containers"][1]];
    assert_eq!((&db["healthCheckType"], &db["startTimeout"]), (&json!("docker"), &json!(9)));
    assert_eq!(db["mountPoints"], json!([{"sourceVolume": "v", "containerPath": "/v", "readOnly": true}]));
    let docker = |which: &str| -> Value { serde_json::from_str(text(db, &format!("/dockerConfig/{which}"))).unwrap() };
    let second = 1_000_000_000_i64;
    let check = json!({"Test": ["CMD-SHELL", "ok"], "Interval": 30 * second, "Timeout": 5 * second, "StartPeriod": 0,
        "Retries": 3});
    assert_eq!(docker("config")["Healthcheck"], check);
    let host = docker("hostConfig");
    assert_eq!((&host["ShmSize"], &host["Dns"]), (&json!(8 << 20), &json!(["10.0.0.1"])));
    assert_eq!(host["Tmpfs"], json!({"/t": "size=4m"}));
    assert_eq!(web["dependsOn"], json!([{"containerName": "db", "condition": "HEALTHY"}]));
    assert_eq!(web["restartPolicy"], json!({"enabled": true, "ignoredExitCodes": [0]}));
    assert_eq!(web["volumesFrom"], json!([{"sourceContainer": "db", "readOnly": false}]));
    assert!(web.get("healthCheckType").is_none() && web.get("mountPoints").is_none(), "{web}");
}
