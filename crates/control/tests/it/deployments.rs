//! Service deployments: their history, the circuit breaker, stops and rollbacks, hooks that wait.

use super::services::number;
use super::{CAPABILITIES, Desk, node, text};
use control::Input;
use model::task::{Desired, TaskStatus};
use serde_json::{Value, json};

const MISSING: &str = "CannotPullContainerError: pull image manifest has been retried 0 time(s): failed to resolve ref \
    web:2: not found";

fn breaker() -> Value {
    json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true}})
}

impl Desk {
    /// A service of two tasks, COMPLETED, and a second revision of its task definition.
    fn rolled_out(configuration: Value) -> Self {
        let mut desk = Self::with_room();
        desk.service(2, json!({"deploymentConfiguration": configuration}));
        desk.settle();
        desk.web();
        desk
    }

    fn roll(&mut self) {
        self.ok("UpdateService", json!({"service": "web", "taskDefinition": "webserver:2"}));
    }

    fn history(&mut self) -> Vec<Value> {
        let listed = self.ok("ListServiceDeployments", json!({"service": "web"}));
        let listed = listed["serviceDeployments"].as_array().unwrap().clone();
        let arns: Vec<&Value> = listed.iter().map(|one| &one["serviceDeploymentArn"]).collect();
        let shown = self.ok("DescribeServiceDeployments", json!({"serviceDeploymentArns": arns}));
        shown["serviceDeployments"].as_array().unwrap().clone()
    }

    fn statuses(&mut self) -> Vec<String> {
        self.history().iter().map(|one| text(one, "/status").to_owned()).collect()
    }

    /// Tasks that have not started, of whatever deployment.
    fn fresh(&self) -> Vec<String> {
        let fresh = self.wanted().into_iter().filter(|(_, status, _)| *status < TaskStatus::Running);
        fresh.map(|(arn, ..)| arn).collect()
    }

    fn cannot_start(&mut self, task: &str, why: &str) {
        let containers = json!([{"containerName": "web", "status": "STOPPED", "reason": why}]);
        let report = json!({"task": task, "status": "STOPPED", "containers": containers});
        self.call(node(), "SubmitTaskStateChange", report).unwrap();
    }

    pub fn events(&mut self) -> Vec<String> {
        let shown = self.describe();
        shown["events"].as_array().unwrap().iter().map(|event| text(event, "/message").to_owned()).collect()
    }

    fn stop_deployment(&mut self, arn: &str, kind: &str) {
        self.ok("StopServiceDeployment", json!({"serviceDeploymentArn": arn, "stopType": kind}));
    }
}

#[test]
fn every_deployment_is_kept_with_the_revisions_that_it_leads_to() {
    let mut desk = Desk::rolled_out(json!({}));
    let first = desk.history().remove(0);
    assert_eq!((text(&first, "/status"), text(&first, "/lifecycleStage")), ("SUCCESSFUL", "CLEAN_UP"));
    assert!(first["startedAt"].is_number() && first["finishedAt"].is_number(), "{first}");
    assert_eq!(number(&first, "/targetServiceRevision/runningTaskCount"), 2);
    desk.roll();
    let second = desk.history().remove(0);
    assert_eq!(text(&second, "/status"), "IN_PROGRESS");
    assert_eq!(second["sourceServiceRevisions"][0]["arn"], first["targetServiceRevision"]["arn"]);
    assert_eq!(number(&second, "/targetServiceRevision/requestedTaskCount"), 2);
    let revision = text(&second, "/targetServiceRevision/arn").to_owned();
    let shown = desk.ok("DescribeServiceRevisions", json!({"serviceRevisionArns": [revision, format!("{revision}0")]}));
    assert!(text(&shown, "/serviceRevisions/0/taskDefinition").ends_with("webserver:2"), "{shown}");
    assert_eq!(text(&shown, "/failures/0/reason"), "MISSING");
    desk.settle();
    assert_eq!(desk.statuses(), ["SUCCESSFUL", "SUCCESSFUL"]);
    let stopped = desk.ok("ListServiceDeployments", json!({"service": "web", "status": ["STOPPED"]}));
    assert_eq!(stopped["serviceDeployments"], json!([]));
    let page = desk.ok("ListServiceDeployments", json!({"service": "web", "maxResults": 1}));
    assert_eq!(page["serviceDeployments"][0]["serviceDeploymentArn"], second["serviceDeploymentArn"]);
    let rest = json!({"service": "web", "maxResults": 1, "nextToken": page["nextToken"]});
    let rest = desk.ok("ListServiceDeployments", rest);
    assert_eq!(rest["serviceDeployments"][0]["serviceDeploymentArn"], first["serviceDeploymentArn"]);
    assert!(rest.get("nextToken").is_none(), "{rest}");
}

#[test]
fn a_newer_deployment_stops_the_one_that_is_on_its_way() {
    let mut desk = Desk::rolled_out(json!({}));
    desk.roll();
    desk.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
    assert_eq!(desk.statuses(), ["IN_PROGRESS", "STOPPED", "SUCCESSFUL"]);
    desk.settle();
    assert_eq!(desk.statuses(), ["SUCCESSFUL", "STOPPED", "SUCCESSFUL"]);
}

#[test]
fn the_breaker_gives_up_after_three_failures_and_goes_back() {
    let mut desk = Desk::rolled_out(breaker());
    let before = desk.wanted();
    desk.roll();
    for _ in 0..40 {
        desk.fresh().iter().for_each(|task| desk.fail(task, 1));
        desk.pass(100);
    }
    desk.settle();
    let last = desk.history().remove(0);
    assert_eq!(text(&last, "/status"), "ROLLBACK_SUCCESSFUL");
    assert!(text(&last, "/statusReason").contains("tasks failed to start"), "{last}");
    assert_eq!(text(&last, "/deploymentCircuitBreaker/status"), "TRIGGERED");
    assert!((3..=4).contains(&number(&last, "/deploymentCircuitBreaker/failureCount")), "{last}");
    assert_eq!(last["rollback"]["serviceRevisionArn"], last["sourceServiceRevisions"][0]["arn"]);
    let shown = desk.describe();
    assert!(text(&shown, "/deployments/0/taskDefinition").ends_with("webserver:1"), "{shown}");
    assert_eq!(text(&shown, "/deployments/0/rolloutState"), "COMPLETED");
    let events = desk.events().join("\n");
    assert!(events.contains("deployment failed: tasks failed to start."), "{events}");
    assert!(events.contains("rolling back to deployment ecs-svc/"), "{events}");
    let now = desk.wanted();
    assert!(before.iter().all(|old| now.iter().any(|task| task.0 == old.0)), "tasks that worked go on");
}

#[test]
fn the_first_proof_is_enough_and_only_where_the_breaker_watches() {
    let mut desk = Desk::rolled_out(breaker());
    desk.roll();
    let task = desk.fresh().remove(0);
    desk.cannot_start(&task, MISSING);
    assert_eq!(desk.statuses()[0], "ROLLBACK_IN_PROGRESS", "at once");
    desk.obey();
    desk.pass(1);
    let last = desk.history().remove(0);
    assert_eq!(text(&last, "/status"), "ROLLBACK_SUCCESSFUL", "{last}");
    assert!(text(&last, "/statusReason").contains("not found"), "{last}");
    assert!(desk.events().iter().any(|event| event.contains("deployment failed") && event.contains(MISSING)));

    let mut desk = Desk::rolled_out(json!({}));
    desk.roll();
    let task = desk.fresh().remove(0);
    desk.cannot_start(&task, MISSING);
    assert_eq!(desk.statuses()[0], "IN_PROGRESS");
    desk.settle();
    assert_eq!(desk.statuses()[0], "SUCCESSFUL", "it heals when the image appears");
}

#[test]
fn a_registry_in_trouble_is_asked_again_before_it_counts() {
    const REFUSED: &str = "CannotPullContainerError: pull image manifest has been retried 2 time(s): failed to resolve \
                           ref 127.0.0.1:5000/web:2: connection refused";
    for (configuration, status) in [(breaker(), "ROLLBACK_SUCCESSFUL"), (json!({}), "IN_PROGRESS")] {
        // Four at once are more than the breaker's three.
        let mut desk = Desk::with_room();
        desk.service(4, json!({"deploymentConfiguration": configuration}));
        desk.settle();
        desk.web();
        desk.roll();
        let began = desk.now;
        let mut tries = Vec::new();
        while tries.len() < 3 {
            let fresh = desk.fresh();
            if !fresh.is_empty() {
                assert_eq!(desk.statuses()[0], "IN_PROGRESS", "{tries:?}");
                tries.push(desk.now - began);
                fresh.iter().for_each(|task| desk.cannot_start(task, REFUSED));
            }
            desk.pass(10);
        }
        assert!(tries[1] < 100 && tries[2] < 1_200, "at once, and after a second: {tries:?}");
        desk.obey();
        desk.pass(600);
        assert_eq!(desk.statuses()[0], status);
        if status == "IN_PROGRESS" {
            desk.pass(1_500);
            assert_eq!(desk.fresh().len(), 4, "two seconds later, not a minute, however many failed");
            desk.settle();
            assert_eq!(desk.statuses()[0], "SUCCESSFUL", "it heals when the registry answers");
        }
    }
}

#[test]
fn without_rollback_a_failed_deployment_stays_where_it_is() {
    let mut desk = Desk::rolled_out(json!({"deploymentCircuitBreaker": {"enable": true, "rollback": false,
        "thresholdConfiguration": {"type": "COUNT", "value": 1}}}));
    desk.roll();
    let task = desk.fresh().remove(0);
    desk.fail(&task, 1);
    for _ in 0..5 {
        desk.fresh().iter().for_each(|task| desk.fail(task, 1));
        desk.pass(1_000);
    }
    assert_eq!(desk.statuses()[0], "STOPPED");
    let shown = desk.describe();
    assert_eq!(text(&shown, "/deployments/0/rolloutState"), "FAILED");
    assert!(text(&shown, "/deployments/0/rolloutStateReason").contains("Essential container"), "{shown}");
    assert_eq!((number(&shown, "/runningCount"), desk.wanted().len()), (2, 2), "the old tasks go on, no others start");
    desk.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
    desk.settle();
    assert_eq!(desk.statuses()[0], "SUCCESSFUL");
}

#[test]
fn tasks_that_end_soon_after_completion_count_against_their_deployment() {
    let mut desk = Desk::rolled_out(breaker());
    desk.roll();
    desk.settle();
    assert_eq!(desk.statuses()[0], "SUCCESSFUL");
    for n in 0..3 {
        desk.obey();
        desk.pass(600);
        let task = desk.wanted().into_iter().find(|(_, status, _)| *status == TaskStatus::Running).unwrap().0;
        desk.fail(&task, 1);
        if n < 2 {
            assert_eq!(text(&desk.describe(), "/deployments/0/rolloutState"), "IN_PROGRESS");
        }
        desk.pass(2_500);
    }
    desk.settle();
    assert_eq!(desk.statuses()[0], "ROLLBACK_SUCCESSFUL");
    assert!(text(&desk.describe(), "/taskDefinition").ends_with("webserver:1"));
}

#[test]
fn a_deployment_is_stopped_at_once_with_or_without_a_way_back() {
    let mut desk = Desk::rolled_out(json!({}));
    desk.roll();
    let arn = text(&desk.history()[0], "/serviceDeploymentArn").to_owned();
    desk.stop_deployment(&arn, "ROLLBACK");
    assert_eq!(desk.statuses()[0], "ROLLBACK_IN_PROGRESS");
    let (code, _) = desk.refused("StopServiceDeployment", json!({"serviceDeploymentArn": arn}));
    assert_eq!(code, "ConflictException");
    desk.settle();
    assert_eq!(desk.statuses()[0], "ROLLBACK_SUCCESSFUL");
    assert!(text(&desk.describe(), "/taskDefinition").ends_with("webserver:1"));

    desk.roll();
    let arn = text(&desk.history()[0], "/serviceDeploymentArn").to_owned();
    desk.stop_deployment(&arn, "ABORT");
    assert_eq!(desk.statuses()[0], "STOPPED");
    desk.settle();
    let shown = desk.describe();
    assert_eq!(text(&shown, "/deployments/0/rolloutState"), "FAILED");
    assert_eq!(shown["deployments"].as_array().unwrap().len(), 2, "what there is stays as it is: {shown}");
    let (code, _) = desk.refused("StopServiceDeployment", json!({"serviceDeploymentArn": arn, "stopType": "ABORT"}));
    assert_eq!(code, "ConflictException");
    let unknown = format!("{arn}x");
    let (code, _) = desk.refused("StopServiceDeployment", json!({"serviceDeploymentArn": unknown}));
    assert_eq!(code, "ServiceDeploymentNotFoundException");
}

#[test]
fn stopping_a_deployment_that_had_come_true_keeps_its_count() {
    for (kind, status) in [("ABORT", "SUCCESSFUL"), ("ROLLBACK", "ROLLBACK_FAILED")] {
        let mut desk = Desk::with_room();
        desk.service(2, json!({}));
        desk.settle();
        assert_eq!(desk.statuses(), ["SUCCESSFUL"]);
        let dies = |desk: &mut Desk| {
            let task = desk.wanted().remove(0).0;
            desk.fail(&task, 1);
        };
        dies(&mut desk);
        assert_eq!(desk.statuses(), ["IN_PROGRESS"], "it was called COMPLETED too early");
        let arn = text(&desk.history()[0], "/serviceDeploymentArn").to_owned();
        desk.stop_deployment(&arn, kind);
        desk.settle();
        assert_eq!((desk.wanted().len(), desk.statuses()), (2, vec![status.to_owned()]), "{kind}");
        assert_eq!(text(&desk.describe(), "/deployments/0/rolloutState"), "COMPLETED");
        dies(&mut desk);
        desk.settle();
        assert_eq!((desk.wanted().len(), desk.statuses()), (2, vec![status.to_owned()]), "it stays stopped: {kind}");
    }
}

fn hooks(stage: &str, action: &str) -> Value {
    json!({"lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": [stage],
        "timeoutConfiguration": {"timeoutInMinutes": 1, "action": action}}]})
}

#[test]
fn a_hook_waits_for_an_answer_and_the_old_tasks_are_kept_meanwhile() {
    let mut desk = Desk::with_room();
    desk.service(2, json!({}));
    desk.settle();
    desk.web();
    let hook = hooks("PRE_SCALE_UP", "ROLLBACK");
    desk.ok(
        "UpdateService",
        json!({"service": "web", "taskDefinition": "webserver:2", "deploymentConfiguration": hook}),
    );
    let waiting = desk.history().remove(0);
    assert_eq!((text(&waiting, "/status"), text(&waiting, "/lifecycleStage")), ("IN_PROGRESS", "PRE_SCALE_UP"));
    assert_eq!(text(&waiting, "/lifecycleHookDetails/0/status"), "AWAITING_ACTION");
    assert_eq!(desk.wanted().len(), 2);
    let old = desk.wanted().remove(0).0;
    desk.fail(&old, 1);
    desk.settle();
    assert_eq!(desk.wanted().len(), 2, "an old task that died is replaced by one of its kind");
    assert!(desk.control.state().tasks.values().all(|task| task.definition.revision == 1));
    let (arn, hook) = (text(&waiting, "/serviceDeploymentArn"), text(&waiting, "/lifecycleHookDetails/0/hookId"));
    let (code, _) = desk.refused("ContinueServiceDeployment", json!({"serviceDeploymentArn": arn, "hookId": "x"}));
    assert_eq!(code, "InvalidParameterException");
    desk.ok("ContinueServiceDeployment", json!({"serviceDeploymentArn": arn, "hookId": hook}));
    desk.settle();
    let done = desk.history().remove(0);
    assert_eq!(text(&done, "/status"), "SUCCESSFUL");
    assert_eq!(text(&done, "/lifecycleHookDetails/0/status"), "SUCCEEDED");
    let live = desk.control.state().tasks.values().filter(|task| task.desired == Desired::Running);
    assert!(live.into_iter().all(|task| task.definition.revision == 2));
    let again = json!({"serviceDeploymentArn": arn, "hookId": hook, "action": "ROLLBACK"});
    assert_eq!(desk.refused("ContinueServiceDeployment", again).0, "InvalidParameterException");
}

#[test]
fn a_hook_that_nobody_answers_does_what_it_was_told() {
    for (stage, action, end, revision) in [
        ("RECONCILE_SERVICE", "CONTINUE", "SUCCESSFUL", 2),
        ("POST_SCALE_UP", "ROLLBACK", "ROLLBACK_SUCCESSFUL", 1),
        ("POST_SCALE_UP", "CONTINUE", "SUCCESSFUL", 2),
    ] {
        let mut desk = Desk::with_room();
        desk.service(2, json!({}));
        desk.settle();
        desk.web();
        let hook = hooks(stage, action);
        let update = json!({"service": "web", "taskDefinition": "webserver:2", "deploymentConfiguration": hook});
        desk.ok("UpdateService", update);
        desk.settle();
        let waiting = desk.history().remove(0);
        assert_eq!((text(&waiting, "/status"), text(&waiting, "/lifecycleStage")), ("IN_PROGRESS", stage));
        let old = desk.wanted().len();
        assert_eq!(old, if stage == "POST_SCALE_UP" { 4 } else { 2 }, "{stage}: old tasks stay while it waits");
        desk.pass(60_000);
        desk.settle();
        let done = desk.history().remove(0);
        assert_eq!(text(&done, "/status"), end, "{done}");
        assert_eq!(text(&done, "/lifecycleHookDetails/0/status"), "TIMED_OUT");
        let state = desk.control.state();
        let live: Vec<_> = state.tasks.values().filter(|task| task.desired == Desired::Running).collect();
        assert!(live.len() == 2 && live.iter().all(|task| task.definition.revision == revision), "{stage} {action}");
    }
}

#[test]
fn early_success_is_said_when_enough_are_healthy() {
    let early = json!({"enable": true, "healthyPercent": 50, "sourceServiceRevisionCleanup": "DEFERRED"});
    let mut desk = Desk::rolled_out(json!({"earlySuccessCriteria": early, "maximumPercent": 150}));
    desk.roll();
    let task = desk.fresh().remove(0);
    desk.call(node(), "SubmitTaskStateChange", json!({"task": task, "status": "RUNNING"})).unwrap();
    desk.pass(600);
    assert_eq!(desk.statuses()[0], "SUCCESSFUL", "one of two");
    assert_eq!(desk.describe()["deployments"].as_array().unwrap().len(), 2);
    desk.settle();
    let shown = desk.describe();
    assert_eq!((number(&shown, "/runningCount"), shown["deployments"].as_array().unwrap().len()), (2, 1));
}

#[test]
fn configurations_without_an_engine_or_sense_are_refused() {
    let mut desk = Desk::with_room();
    for (configuration, words) in [
        (json!({"lifecycleHooks": [{"targetType": "AWS_LAMBDA", "lifecycleStages": ["PRE_SCALE_UP"]}]}), "AWS_LAMBDA"),
        (hooks("TEST_TRAFFIC_SHIFT", "CONTINUE"), "TEST_TRAFFIC_SHIFT"),
        (json!({"lifecycleHooks": [{"targetType": "PAUSE"}]}), "lifecycleStages"),
        (json!({"alarms": {"alarmNames": ["a"], "enable": true, "rollback": true}}), "alarms"),
        (json!({"strategy": "BLUE_GREEN"}), "strategy"),
        (
            json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true,
                "thresholdConfiguration": {"type": "COUNT", "value": 0}}}),
            "at least 1",
        ),
    ] {
        let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
        let (_, message) = desk.refused(
            "CreateService",
            json!({"serviceName": "web", "taskDefinition": "webserver", "launchType": "FARGATE", "desiredCount": 1,
                "networkConfiguration": network, "deploymentConfiguration": configuration}),
        );
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn history_is_bounded_and_goes_with_its_service() {
    let mut desk = Desk::rolled_out(json!({}));
    for _ in 0..120 {
        desk.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
        desk.obey();
    }
    let state = desk.control.state();
    assert_eq!(state.service_deployments.len(), 100);
    assert!(state.service_revisions.len() <= 102, "{}", state.service_revisions.len());
    assert_eq!(state.service_events.len(), 100);
    desk.settle();
    desk.ok("DeleteService", json!({"service": "web", "force": true}));
    desk.settle();
    desk.pass(3_700_000);
    let state = desk.control.state();
    let left = (state.service_deployments.len(), state.service_revisions.len(), state.service_events.len());
    assert_eq!(left, (0, 0, 0));
}

#[test]
fn a_tag_is_resolved_once_for_the_life_of_a_deployment() {
    let mut desk = Desk::with_room();
    desk.service(1, json!({}));
    let task = desk.fresh().remove(0);
    let digest = format!("sha256:{}", "ab".repeat(32));
    let report = |task: &str, digest: &str| {
        json!({"task": task, "status": "RUNNING",
            "containers": [{"containerName": "web", "status": "RUNNING", "imageDigest": digest}]})
    };
    desk.call(node(), "SubmitTaskStateChange", report(&task, &digest)).unwrap();
    desk.settle();
    let arn = text(&desk.history()[0], "/targetServiceRevision/arn").to_owned();
    let shown = desk.ok("DescribeServiceRevisions", json!({"serviceRevisionArns": [arn]}));
    assert_eq!(text(&shown, "/serviceRevisions/0/containerImages/0/imageDigest"), digest);
    desk.ok("UpdateService", json!({"service": "web", "desiredCount": 2}));
    let second = desk.fresh().remove(0);
    let told = |desk: &Desk, arn: &str| {
        let state = desk.control.state();
        let task = state.tasks.values().find(|task| state.task_arn(task) == arn).unwrap();
        link::encode::task(state, task).containers[0].image.clone()
    };
    assert!(told(&desk, &second).ends_with(&format!("@{digest}")), "{}", told(&desk, &second));
    let other = format!("sha256:{}", "cd".repeat(32));
    desk.call(node(), "SubmitTaskStateChange", report(&second, &other)).unwrap();
    assert!(told(&desk, &second).ends_with(&digest), "the first decides");
    desk.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
    let fresh = desk.fresh().remove(0);
    assert!(!told(&desk, &fresh).contains('@'), "a new deployment asks anew");
}

#[test]
fn tasks_of_a_lost_host_are_replaced_and_stay_until_they_are() {
    let mut desk = Desk::new();
    let mut pool = vec![json!({"name": "gantry.eni"}), json!({"name": "gantry.pool", "value": "fargate"})];
    pool.extend(CAPABILITIES.map(|name| json!({"name": name})));
    let pool = Value::from(pool);
    let lost = desk.instance(21, 2048, 4096, pool.clone());
    desk.web();
    desk.service(2, json!({}));
    desk.settle();
    desk.instance(22, 2048, 4096, pool);
    let before = desk.wanted();
    desk.control.handle(desk.now, Input::Disconnected { session: 21 });
    desk.round();
    desk.pass(29_000);
    assert_eq!((desk.wanted(), number(&desk.describe(), "/runningCount")), (before.clone(), 2), "within its grace");
    desk.pass(1_100);
    let shown = desk.describe();
    assert_eq!((number(&shown, "/runningCount"), number(&shown, "/pendingCount")), (0, 2), "{shown}");
    assert_eq!(desk.wanted().len(), 4, "they stay until others do their work");
    let fresh = desk.fresh();
    for task in &fresh {
        desk.call(node(), "SubmitTaskStateChange", json!({"task": task, "status": "RUNNING"})).unwrap();
    }
    desk.pass(600);
    let now: Vec<String> = desk.wanted().into_iter().map(|(arn, ..)| arn).collect();
    assert!(now.len() == 2 && before.iter().all(|old| !now.contains(&old.0)), "{now:?}");
    assert_eq!(number(&desk.describe(), "/runningCount"), 2);
    assert!(!lost.is_empty());
}
