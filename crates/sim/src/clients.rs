//! Clients of the API: each asks, waits, judges the answer, thinks, and asks again. They see answers only.

use crate::agenda::Event;
use crate::asks::Ask;
use crate::oracle::{Asked, Oracle};
use crate::wires::{Asker, Reply};
use crate::world::World;
use wire::ecs;

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    all: Vec<Client>,
    /// What they know together.
    pub oracle: Oracle,
    /// They ask; else they only hear what is still to come.
    pub active: bool,
    /// Requests in a thousand that are about services.
    pub services: u64,
    /// Requests in a thousand that are about the fleet.
    pub fleet: u64,
    /// Requests in a thousand that are about task sets.
    pub sets: u64,
    /// Requests in a thousand that are about services that spread over zones.
    pub zones: u64,
    /// Answers heard.
    pub answers: u64,
}

#[derive(Debug, Default)]
struct Client {
    asked: Option<Asked>,
    /// A request that it will send again.
    again: Option<ecs::RunTaskRequest>,
    /// A list that it is in the middle of.
    list: Option<List>,
}

/// A list of tasks, page after page.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub request: ecs::ListTasksRequest,
    pub got: Vec<String>,
    /// What has to be in it, unless it is wanted stopped before the end.
    pub wanted: Vec<String>,
}

/// Pages after which a list is given up.
const PAGES_MAX: usize = 60;

impl World {
    /// So many clients begin.
    pub fn clients_begin(&mut self, count: usize) {
        self.clients.active = true;
        self.clients.services = *self.chance.clients.pick(&[60, 60, 600]);
        self.clients.fleet = *self.chance.clients.pick(&[0, 50, 400]);
        self.clients.sets = *self.chance.clients.pick(&[0, 60, 300]);
        self.clients.zones = *self.chance.clients.pick(&[0, 60, 300]);
        self.clients.all = (0..count).map(|_| Client::default()).collect();
        for client in 0..count {
            self.client_plan(client);
        }
    }

    fn client_plan(&mut self, client: usize) {
        let at = self.now + self.chance.clients.between((20, 1_500));
        self.agenda.plan(at, Event::ClientTurn { client });
    }

    pub fn client_turn(&mut self, client: usize) {
        if !self.clients.active {
            return;
        }
        let ask = self.client_ask(client);
        let sent = self.agenda.planned();
        let asked = Asked { request: ask.request.clone(), refused: ask.refused, sent, at: self.now };
        self.before_asking(&ask.request);
        self.note(format!("client-{client} asks {}", ask.request.operation()));
        self.clients.all[client].asked = Some(asked);
        self.call(Asker::Client(client), ask.caller, &ask.request);
    }

    fn client_ask(&mut self, client: usize) -> Ask {
        let plain = |request: ecs::Request| Ask { caller: crate::faults::operator(), request, refused: &[] };
        if let Some(list) = &self.clients.all[client].list {
            return plain(list.request.clone().into());
        }
        if let Some(mut again) = self.clients.all[client].again.take() {
            let other = self.chance.clients.per_mille(100);
            if other {
                again.group = Some("other".to_owned());
            }
            return plain(again.into());
        }
        if self.chance.clients.per_mille(80) {
            let request = self.draw_list();
            let wanted = self.listed_now(&request);
            self.clients.all[client].list = Some(List { request: request.clone(), got: Vec::new(), wanted });
            return plain(request.into());
        }
        if self.chance.clients.per_mille(self.clients.fleet) {
            return self.draw_fleet();
        }
        if self.chance.clients.per_mille(self.clients.sets) {
            return self.draw_set();
        }
        if self.chance.clients.per_mille(self.clients.zones) {
            return self.draw_balanced();
        }
        let services = self.chance.clients.per_mille(self.clients.services);
        if services { self.draw_service() } else { self.draw_ask() }
    }

    /// An answer, or the end of waiting for one.
    pub fn client_hears(&mut self, client: usize, _call: u64, reply: Reply) {
        let Some(asked) = self.clients.all[client].asked.take() else { return };
        self.clients.answers += 1;
        if let ecs::Request::RunTask(request) = &asked.request
            && request.client_token.is_some()
            && self.chance.clients.per_mille(600)
        {
            self.clients.all[client].again = Some((**request).clone());
        }
        let heard = match &reply {
            Reply::Lost | Reply::Any(_) => "nothing".to_owned(),
            Reply::Answer(answer) => match &**answer {
                Ok(_) => "yes".to_owned(),
                Err(fault) => fault.code.to_string(),
            },
        };
        self.note(format!("client-{client} hears {heard} to {}", asked.request.operation()));
        match reply {
            Reply::Lost | Reply::Any(_) => self.clients.all[client].list = None,
            Reply::Answer(answer) => {
                self.client_turns_page(client, &answer);
                self.judge(&asked, *answer);
            }
        }
        self.client_plan(client);
    }

    fn client_turns_page(&mut self, client: usize, answer: &Result<ecs::Response, wire::Fault>) {
        let Some(mut list) = self.clients.all[client].list.take() else { return };
        let Ok(ecs::Response::ListTasks(page)) = answer else { return };
        list.got.extend(page.task_arns.clone().unwrap_or_default());
        match &page.next_token {
            Some(token) if list.got.len() < PAGES_MAX * 9 => {
                list.request.next_token = Some(token.clone());
                self.clients.all[client].list = Some(list);
            }
            Some(_) => {}
            None => self.judge_list(&list),
        }
    }
}
