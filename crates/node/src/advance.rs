//! `advance` looks at all of a task and orders whatever is missing: what to start, to check, to stop, to release.

use crate::Millis;
use crate::entry::{Entry, Held, Life, Stage, Wish};
use crate::hands::{Command, Exit, TaskKey};
use crate::health::Health;
use crate::order::{self, Verdict};
use crate::spec;
use link::acs;
use std::collections::VecDeque;

/// Seconds between stop signal and SIGKILL when a container does not say (ECS_CONTAINER_STOP_TIMEOUT).
const STOP_TIMEOUT_S: i64 = 30;

impl Entry {
    /// Orders whatever is missing.
    pub fn advance(&mut self, now: Millis, task: &TaskKey, commands: &mut VecDeque<Command>) {
        if std::mem::take(&mut self.undo_wanted) {
            commands.push_back(Command::Release { task: task.clone() });
        }
        if self.life == Life::Held {
            if !self.stop_wanted {
                self.advance_start(now, task, commands);
            }
            match self.stop_wanted {
                false => self.advance_health(now, task, commands),
                true => self.advance_stop(now, task, commands),
            }
        }
        if self.life == Life::Closing && self.end_retry_at <= now {
            self.end_retry_at = Millis::MAX;
            commands.push_back(Command::Record { task: task.clone(), record: crate::recover::end_record(self) });
        }
        if self.life == Life::Released && self.reports.stop_delivered() {
            self.life = Life::Forgetting;
            commands.push_back(Command::Forget { task: task.clone() });
        }
    }

    fn advance_start(&mut self, now: Millis, task: &TaskKey, commands: &mut VecDeque<Command>) {
        if let (Wish::Wanted, Some(attachment)) = (&self.network, &self.attachment) {
            commands.push_back(Command::AttachNetwork { task: task.clone(), attachment: attachment.clone() });
            self.network = Wish::Asked;
        }
        if self.supervisor == Wish::Wanted {
            let limits = spec::limits(&self.message);
            commands.push_back(Command::Supervise { task: task.clone(), limits });
            self.supervisor = Wish::Asked;
        }
        let supervised = self.supervisor == Wish::Ready(());
        let verdicts = self.verdicts(now);
        let all = self.containers.iter_mut().zip(&self.message.containers).zip(&verdicts);
        for (number, ((held, container), verdict)) in all.enumerate() {
            if held.image == Wish::Wanted && held.stage == Stage::Pending {
                let (image, name) = (container.image.clone(), held.name.clone());
                commands.push_back(Command::PrepareImage { task: task.clone(), container: name, image });
                held.image = Wish::Asked;
            }
            let may = supervised && *verdict == Verdict::Ready;
            if let (true, Wish::Ready(networks), Some(attachment), Stage::Pending, Wish::Ready(digest)) =
                (may, &self.network, &self.attachment, &held.stage, &held.image)
            {
                let mut spec = spec::container(&self.message, container, digest);
                spec::join(&mut spec, task, number, attachment, networks.get(number));
                spec.attempt = held.restarts;
                commands.push_back(Command::StartContainer { task: task.clone(), spec: Box::new(spec) });
                held.stage = Stage::Starting;
            }
        }
        let never = |(held, verdict): (&Held, Verdict)| match verdict {
            Verdict::Never(why) => Some((held.name.clone(), why)),
            Verdict::Ready | Verdict::Wait(_) => None,
        };
        let never: Vec<(String, String)> = self.containers.iter().zip(verdicts).filter_map(never).collect();
        for (container, reason) in never {
            self.ended(&container, Exit { code: None, out_of_memory: false, reason: Some(reason), at: now });
            self.stop_wanted = true;
        }
    }

    /// Which containers may start, as `dependsOn` has it. One that was started before, or was ordered, need not ask.
    fn verdicts(&self, now: Millis) -> Vec<Verdict> {
        let said = &self.message.containers;
        let verdict = |(held, container): (&Held, &acs::Container)| match held.stage {
            Stage::Pending if held.restarts == 0 => order::may_start(now, container, &self.containers, said),
            _ => Verdict::Ready,
        };
        self.containers.iter().zip(said).map(verdict).collect()
    }

    /// Orders the health checks that are due.
    fn advance_health(&mut self, now: Millis, task: &TaskKey, commands: &mut VecDeque<Command>) {
        for held in self.containers.iter_mut().filter(|held| held.stage == Stage::Running) {
            let Some(health) = &mut held.health else { continue };
            self.health_news |= health.give_up(now);
            if let Some((command, timeout_ms)) = health.due(now) {
                let (task, container) = (task.clone(), held.name.clone());
                commands.push_back(Command::CheckHealth { task, container, command, timeout_ms });
            }
        }
    }

    fn advance_stop(&mut self, now: Millis, task: &TaskKey, commands: &mut VecDeque<Command>) {
        for (held, container) in self.containers.iter_mut().zip(&self.message.containers) {
            match held.stage {
                Stage::Stopped(_) | Stage::Running => {}
                Stage::Pending => {
                    held.stage = Stage::Stopped(Exit { code: None, out_of_memory: false, reason: None, at: now });
                }
                // One that is being started is asked to end as soon as it runs, and killed with the rest if it hangs.
                Stage::Starting => {
                    let kill_at = held.kill_at.get_or_insert(now + stop_timeout_ms(container));
                    if *kill_at <= now {
                        *kill_at = 0;
                    }
                }
            }
        }
        let said = &self.message.containers;
        // What others depend on is asked to end after them.
        let needed = |held: &Held| order::is_needed(&held.name, &self.containers, said);
        let needed: Vec<bool> = self.containers.iter().map(needed).collect();
        for ((held, container), needed) in self.containers.iter_mut().zip(said).zip(needed) {
            if held.stage == Stage::Running && !needed {
                stop_running(now, task, held, container, commands);
            }
        }
        if !self.containers.iter().all(Held::is_over) {
            return;
        }
        // One whose record cannot be read has nothing to write down.
        if self.end_recorded || self.end_retry_at != 0 || self.message.arn.is_empty() {
            self.life = Life::Releasing;
            commands.push_back(Command::Release { task: task.clone() });
        } else {
            self.life = Life::Ending;
            commands.push_back(Command::Record { task: task.clone(), record: crate::recover::end_record(self) });
        }
    }

    /// When `advance` has something to do because time has passed.
    pub fn next_wake(&self) -> Option<Millis> {
        let held = self.life == Life::Held && self.stop_wanted;
        let alive = |container: &&Held| !matches!(container.stage, Stage::Stopped(_));
        let kills = self.containers.iter().filter(alive).filter_map(|held| held.kill_at).filter(|at| *at != 0);
        let kill = held.then(|| kills.min()).flatten();
        let starts = (self.life == Life::Held && !self.stop_wanted).then(|| self.next_start_or_check()).flatten();
        let retry = (self.life == Life::Closing && self.end_retry_at != Millis::MAX).then_some(self.end_retry_at);
        kill.into_iter().chain(starts).chain(retry).chain(self.reports.next_try()).min()
    }

    /// When a health check is due, or waiting for another container has lasted too long.
    fn next_start_or_check(&self) -> Option<Millis> {
        let running = self.containers.iter().filter(|held| held.stage == Stage::Running);
        let checks = running.filter_map(|held| held.health.as_ref()).map(Health::next_wake);
        let late = |verdict| match verdict {
            Verdict::Wait(at) => at,
            Verdict::Ready | Verdict::Never(_) => None,
        };
        let waits = self.containers.iter().any(|held| held.stage == Stage::Pending);
        let waits = if waits { self.verdicts(0) } else { Vec::new() };
        checks.chain(waits.into_iter().filter_map(late)).min()
    }
}

fn stop_timeout_ms(container: &acs::Container) -> Millis {
    let seconds = container.stop_timeout.unwrap_or(STOP_TIMEOUT_S).clamp(0, 7 * 86_400);
    seconds.unsigned_abs() * 1000
}

fn stop_running(
    now: Millis,
    task: &TaskKey,
    held: &mut Held,
    container: &acs::Container,
    commands: &mut VecDeque<Command>,
) {
    let order = |force| Command::StopContainer { task: task.clone(), container: container.name.clone(), force };
    match held.kill_at {
        None => {
            held.kill_at = Some(now + stop_timeout_ms(container));
            commands.push_back(order(false));
        }
        Some(0) => {}
        Some(at) if at <= now => {
            held.kill_at = Some(0);
            commands.push_back(order(true));
        }
        Some(_) => {}
    }
}
