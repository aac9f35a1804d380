//! Every operation of the model, asked thousands of times for things that make sense, that nearly do, and that do not: no
//! answer is a failure of the server, nothing panics, and what must hold of the state holds after each.

use crate::{Desk, node, operator};
use model::Ids;
use model::audit::audit;
use serde_json::{Map, Value, json};
use wire::ecs;

/// Calls of one run, and where it begins; `GANTRY_FUZZ_SEED` chooses another.
const CASES: u32 = 20_000;
const SEED: u64 = 20_261_122;

struct Fuzz {
    desk: Desk,
    model: Value,
    dice: Ids,
}

impl Fuzz {
    fn below(&mut self, n: usize) -> usize {
        (self.dice.bits() % n.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        let n = self.below(of.len());
        of.get(n).cloned()
    }

    /// What a text member of that name may say: mostly things that exist.
    fn text(&mut self, member: &str) -> String {
        if self.one_in(12) {
            let odd =
                ["", " ", "x", "a/b/c", "arn:aws:ecs:::", "é\u{0}\n", "-1", "arn:aws:ecs:us-east-1:000000000000:"];
            return if self.one_in(8) { "y".repeat(3_000) } else { self.pick(&odd).unwrap_or_default().to_owned() };
        }
        let state = self.desk.control.state();
        let scope = state.scope();
        let low = member.to_ascii_lowercase();
        let tasks = || state.tasks.values().map(|task| state.task_arn(task)).collect::<Vec<_>>();
        let services = || state.services.values().map(|service| state.service_arn(service)).collect::<Vec<_>>();
        let pool: Vec<String> = if low.contains("taskdefinition") {
            ["f0", "f1:1", "f1", "f2:1", "f9"].map(str::to_owned).to_vec()
        } else if low.contains("taskset") {
            state.service_revisions.values().map(|revision| revision.number.to_string()).collect()
        } else if low.contains("servicedeployment") || low == "servicerevisionarns" {
            state.service_deployments.values().map(|deployment| deployment.id.to_string()).collect()
        } else if low.contains("instance") || low == "targetid" {
            state.instances.keys().map(|id| scope.instance("default", *id)).collect()
        } else if low.contains("cluster") {
            ["default", "c0", "c1", "nope"].map(str::to_owned).to_vec()
        } else if low.contains("service") {
            let named = (0..4).map(|n| format!("s{n}"));
            services().into_iter().chain(named).collect()
        } else if low.contains("task") {
            tasks()
        } else if low.contains("provider") {
            ["p0", "p1", "FARGATE", "FARGATE_SPOT"].map(str::to_owned).to_vec()
        } else if low.contains("resourcearn") {
            let clusters = state.clusters.values().map(|cluster| scope.cluster(&cluster.name));
            tasks().into_iter().chain(services()).chain(clusters).collect()
        } else if low.contains("subnet") {
            state.meta().vpc.subnets.iter().map(|subnet| subnet.id.to_string()).collect()
        } else {
            [
                "256",
                "512",
                "main",
                "busybox",
                "a",
                "f0",
                "f1",
                "tcp",
                "/x",
                "enabled",
                "RUNNING",
                "STOPPED",
                "attribute:a == b",
            ]
            .map(str::to_owned)
            .to_vec()
        };
        self.pick(&pool).unwrap_or_else(|| "none".to_owned())
    }

    /// A value of a shape; one in `wild` is of another kind altogether.
    fn value(&mut self, shape: &str, member: &str, depth: usize, wild: usize) -> Value {
        if wild > 0 && self.one_in(wild) {
            let odd =
                [json!(null), json!(7), json!("x"), json!([]), json!({}), json!([[[{}]]]), json!(-1.5), json!(true)];
            return self.pick(&odd).unwrap_or_default();
        }
        let shape = self.model["shapes"][shape].clone();
        match shape["type"].as_str().unwrap_or_default() {
            "structure" => self.structure(&shape, depth, wild),
            "list" => {
                let of = shape["member"]["shape"].as_str().unwrap_or_default().to_owned();
                let many = if self.one_in(40) { 101 } else { 3 };
                let n = if depth > 4 { 0 } else { self.below(many) };
                (0..n).map(|_| self.value(&of, member, depth + 1, wild)).collect()
            }
            "map" => json!({"k": "v"}),
            "boolean" => json!(self.one_in(2)),
            "integer" | "long" => {
                json!(
                    self.pick(&[0, 1, 1, 2, 5, 10, 50, 100, 128, 200, 256, 1024, -1, 70_000, i32::MAX])
                        .unwrap_or_default()
                )
            }
            "double" | "float" => json!(self.pick(&[0.0, 1.0, 50.0, 100.0, -1.0, 1e30]).unwrap_or_default()),
            "timestamp" => json!(1_700_000_000),
            _ => match shape["enum"].as_array() {
                Some(values) if !self.one_in(20) => self.pick(values).unwrap_or_default(),
                _ => json!(self.text(member)),
            },
        }
    }

    fn structure(&mut self, shape: &Value, depth: usize, wild: usize) -> Value {
        let required: Vec<&str> =
            shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut made = Map::new();
        for (name, member) in shape["members"].as_object().into_iter().flatten() {
            // The deeper, the fewer.
            let wanted = match required.contains(&name.as_str()) {
                true => !(wild > 0 && self.one_in(30)),
                false => self.one_in(3 + 3 * depth),
            };
            if wanted && depth < 8 {
                let of = member["shape"].as_str().unwrap_or_default();
                made.insert(name.clone(), self.value(of, name, depth + 1, wild));
            }
        }
        Value::Object(made)
    }

    /// A request that means something, for the operations whose members must fit each other.
    fn sensible(&mut self, name: &str) -> Option<Value> {
        let service = format!("s{}", self.below(40));
        let definition = self.pick(&["f0", "f1", "f2"])?;
        let network = json!({"awsvpcConfiguration": {"subnets": [self.desk.subnet()]}});
        let (task, number) = (self.text("task"), self.below(4));
        let arn = self.text("resourceArn");
        let instance = self.text("instance");
        let scale = json!({"value": self.below(101), "unit": "PERCENT"});
        let own = self.desk.control.state().services.values().map(|service| service.name.to_string());
        let own: Vec<String> = own.collect();
        let (outside, set) = {
            let state = self.desk.control.state();
            let mut external = state.services.values().filter(|service| service.external);
            let outside = external.next_back().map(|service| service.name.to_string()).unwrap_or_default();
            let sets = state.services.values().filter(|service| service.external).flat_map(|s| &s.deployments);
            let ids: Vec<String> = sets.map(|deployment| deployment.id()).collect();
            (outside, self.pick(&ids).unwrap_or_default())
        };
        let known = self.pick(&own).unwrap_or_default();
        Some(match name {
            "RunTask" => json!({"taskDefinition": definition, "count": number, "launchType": "FARGATE",
                "networkConfiguration": network}),
            "StopTask" => json!({"task": task}),
            "DescribeTasks" | "GetTaskProtection" => json!({"tasks": [task]}),
            "UpdateTaskProtection" => json!({"tasks": [task], "protectionEnabled": number > 1}),
            "SubmitTaskStateChange" => json!({"task": task, "status": self.pick(&["RUNNING", "STOPPED"])?}),
            "CreateService" => json!({"serviceName": service, "taskDefinition": definition, "desiredCount": number,
                "launchType": "FARGATE", "networkConfiguration": network}),
            "UpdateService" => json!({"service": known, "desiredCount": number}),
            "DeleteService" => json!({"service": service, "force": true}),
            "DescribeServices" => json!({"services": [known]}),
            "CreateTaskSet" => json!({"service": outside, "taskDefinition": definition, "launchType": "FARGATE",
                "networkConfiguration": network, "scale": scale}),
            "UpdateTaskSet" => json!({"cluster": "default", "service": outside, "taskSet": set, "scale": scale}),
            "DeleteTaskSet" => json!({"cluster": "default", "service": outside, "taskSet": set, "force": true}),
            "UpdateServicePrimaryTaskSet" => json!({"cluster": "default", "service": outside, "primaryTaskSet": set}),
            "RegisterTaskDefinition" => self::definition(definition),
            "CreateCluster" | "DeleteCluster" => json!({"clusterName": format!("c{number}"), "cluster": "c1"}),
            "CreateCapacityProvider" => json!({"name": format!("p{number}"), "autoScalingGroupProvider":
                {"autoScalingGroupArn": "hosts", "managedScaling": {"status": "DISABLED"}}}),
            "DeleteCapacityProvider" => json!({"capacityProvider": format!("p{number}")}),
            "TagResource" => json!({"resourceArn": arn, "tags": [{"key": format!("k{number}"), "value": "v"}]}),
            "UntagResource" => json!({"resourceArn": arn, "tagKeys": [format!("k{number}")]}),
            "PutAttributes" => {
                json!({"attributes": [{"name": "a", "value": format!("v{number}"), "targetId": instance}]})
            }
            "UpdateContainerInstancesState" => json!({"containerInstances": [instance],
                "status": self.pick(&["ACTIVE", "ACTIVE", "DRAINING"])?}),
            "PutAccountSetting" => json!({"name": "awsvpcTrunking", "value": self.pick(&["enabled", "disabled"])?}),
            _ => return None,
        })
    }

    /// A sensible request, with now and then one member more, or another value.
    fn request(&mut self, name: &str, shape: &str) -> Value {
        let wild = if self.one_in(4) { 12 } else { 0 };
        let made = self.value(shape, "", 0, wild);
        if self.one_in(3) {
            return made;
        }
        let Some(mut sensible) = self.sensible(name) else { return made };
        let members: Vec<(String, Value)> =
            made.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        if let Some((member, value)) = self.pick(&members).filter(|_| self.one_in(3)) {
            sensible[member] = value;
        }
        sensible
    }

    fn call(&mut self, name: &str, input: &Value) -> Result<(), String> {
        let operation = ecs::Operation::from_name(name).ok_or("no such operation")?;
        let Ok(_) = ecs::Request::decode(operation, input.to_string().as_bytes()) else { return Ok(()) };
        let caller = if self.one_in(10) { node() } else { operator() };
        match self.desk.call(caller, name, input.clone()) {
            Err(fault) if fault.status >= 500 || fault.message.is_empty() => {
                Err(format!("{} {}", fault.code, fault.message))
            }
            _ => Ok(()),
        }
    }
}

fn definition(family: &str) -> Value {
    json!({"family": family, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE", "EC2"], "cpu": "256",
        "memory": "512", "containerDefinitions": [{"name": "main", "image": "busybox", "memory": 64}]})
}

/// What the calls are about, made again where they have taken it away; the rest they make themselves.
fn furnish(desk: &mut Desk) {
    desk.host();
    for family in ["f0", "f1", "f2"] {
        desk.ok("RegisterTaskDefinition", definition(family));
    }
    for cluster in ["default", "c0", "c1"] {
        desk.ok("CreateCluster", json!({"clusterName": cluster}));
    }
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    let service = json!({"serviceName": "s0", "taskDefinition": "f0", "launchType": "FARGATE", "desiredCount": 2,
        "networkConfiguration": network});
    // Of a name that was never used: what is DRAINING keeps its own.
    let external = json!({"serviceName": format!("x{}", desk.now), "deploymentController": {"type": "EXTERNAL"}, "desiredCount": 2});
    for service in [service, external] {
        // One that is there, or still DRAINING, stays as it is.
        let _ = desk.call(operator(), "CreateService", service);
    }
}

#[test]
fn no_request_brings_the_control_plane_down() {
    #[expect(clippy::disallowed_methods, reason = "a test may be told where to begin")]
    let seed = std::env::var("GANTRY_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    println!("seed {seed}: GANTRY_FUZZ_SEED={seed} cargo test -p control --test it fuzz");
    let model: Value = serde_json::from_str(include_str!("../../../../models/ecs.json")).unwrap();
    let operations: Vec<(String, Option<String>)> = model["operations"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, operation)| (name.clone(), operation["input"]["shape"].as_str().map(str::to_owned)))
        .collect();
    let mut fuzz = Fuzz { desk: Desk::new(), model, dice: Ids::seeded(seed) };
    let (mut asked, mut accepted) = (0, 0);
    let mut tally = std::collections::BTreeMap::new();
    for case in 0..CASES {
        if case % 300 == 0 {
            furnish(&mut fuzz.desk);
        }
        let (name, shape) = operations[case as usize % operations.len()].clone();
        let input = shape.map_or(json!({}), |shape| fuzz.request(&name, &shape));
        let batches = fuzz.desk.batches.len();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fuzz.call(&name, &input)));
        match done {
            Ok(Ok(())) => {}
            Ok(Err(said)) => panic!("seed {seed}, case {case}: {name} {input}: {said}"),
            Err(_) => panic!("seed {seed}, case {case}: {name} {input}: panicked"),
        }
        asked += 1;
        accepted += usize::from(fuzz.desk.batches.len() > batches);
        *tally.entry(name).or_insert(0) += usize::from(fuzz.desk.batches.len() > batches);
        // What has happened is not what is asked about.
        fuzz.desk.batches.clear();
        fuzz.desk.frames.clear();
        if fuzz.one_in(20) {
            let far = if fuzz.one_in(50) { 4_000_000 } else { 2_000 };
            fuzz.desk.now += 1 + fuzz.below(far) as u64;
            fuzz.desk.control.handle_time(fuzz.desk.now);
            fuzz.desk.round();
            assert_eq!(audit(fuzz.desk.control.state()), [], "seed {seed}, case {case}: after the time");
        }
    }
    println!("calls that changed something: {tally:?}");
    // Requests that change something are among them, or nothing was tried.
    assert!(asked == CASES && accepted > CASES as usize / 25, "{accepted} of {asked} changed something");
}
