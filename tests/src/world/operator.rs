//! The operator: adds sites and removes them while everything else goes wrong, one change at a time, asking again until it has
//! happened, as a patient person would.

use std::collections::VecDeque;

use gemini::site::{Input, MemberAnswer, MemberRequest, Reply, Standing};
use tokio::sync::oneshot::Receiver;

use super::node::member;
use super::{Event, World};
use crate::random::Random;

/// Between looks, µs.
const LOOK: u64 = 200_000;

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A machine with an empty disk becomes a member.
    Join(usize),
    /// A member leaves in good order.
    Leave(usize),
    /// A site is removed by force: dead, or alive and perhaps unaware. Later it comes back.
    Expel {
        /// Which.
        node: usize,
        /// Its process runs all the while.
        alive: bool,
    },
}

impl Change {
    fn node(self) -> usize {
        match self {
            Change::Join(node) | Change::Leave(node) | Change::Expel { node, .. } => node,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Operator {
    /// With the times when they begin, µs after trouble has begun.
    plan: VecDeque<(u64, Change)>,
    current: Option<Change>,
    answer: Option<Receiver<MemberAnswer>>,
}

impl Operator {
    /// Draws the changes of a run: at most as many removals as leave two members.
    pub fn plan(seed: u64, sites: usize, spare: usize, trouble: u64) -> Operator {
        let mut random = Random::new(seed ^ 0x0b5e_55ed).fork();
        let mut members: Vec<usize> = (0..sites).collect();
        let mut joins = (sites..sites + spare).collect::<VecDeque<_>>();
        let mut plan = VecDeque::new();
        let mut at = 0;
        for _ in 0..if spare == 0 { 0 } else { random.between(1, 4) } {
            at += random.below(trouble / 2);
            let change = match joins.front() {
                Some(node) if random.chance(450) => Change::Join(*node),
                _ if members.len() <= 2 => continue,
                _ => {
                    let node = members[random.below(members.len() as u64) as usize];
                    match random.below(3) {
                        0 => Change::Leave(node),
                        kind => Change::Expel { node, alive: kind == 1 },
                    }
                }
            };
            match change {
                Change::Join(node) => {
                    joins.pop_front();
                    members.push(node);
                }
                Change::Leave(node) | Change::Expel { node, .. } => members.retain(|m| *m != node),
            }
            plan.push_back((at, change));
        }
        Operator { plan, ..Operator::default() }
    }

    /// Whether all is done.
    pub fn rests(&self) -> bool {
        self.plan.is_empty() && self.current.is_none()
    }
}

impl World {
    /// Begins, or goes on with, what the operator has to do.
    pub(super) fn operate(&mut self) {
        self.schedule(LOOK, Event::Operator);
        let since = self.troubled_for().unwrap_or(0);
        if self.operator.current.is_none() {
            let due = |(at, _): &(u64, Change)| *at <= since && self.troubled.is_some();
            if !self.operator.plan.front().is_some_and(due) {
                return;
            }
            let Some((_, change)) = self.operator.plan.pop_front() else { return };
            self.begin(change);
        }
        let Some(change) = self.operator.current else { return };
        if self.happened(change) {
            self.finish_change(change);
            return;
        }
        if let Some(answer) = &mut self.operator.answer {
            match answer.try_recv() {
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => return,
                answered => self.say("⚙", format!("{change:?}: {answered:?}")),
            }
            self.operator.answer = None;
        }
        self.ask(change);
    }

    fn begin(&mut self, change: Change) {
        self.say("⚙", format!("{change:?}"));
        let node = change.node();
        self.nodes[node].outside = true;
        match change {
            Change::Join(_) => {
                self.nodes[node].away = false;
                self.start(node);
            }
            Change::Leave(_) => self.checks.leaves(self.nodes[node].id),
            Change::Expel { alive: false, .. } => {
                self.nodes[node].away = true;
                self.crash(node);
            }
            Change::Expel { alive: true, .. } => {}
        }
        self.operator.current = Some(change);
        self.operator.answer = None;
    }

    /// Whether any member knows that it is done.
    fn happened(&self, change: Change) -> bool {
        let id = self.nodes[change.node()].id;
        self.nodes.iter().filter(|node| !node.outside).any(|node| {
            let Some(process) = &node.process else { return false };
            let members = process.site.shared().status().members;
            members.iter().any(|member| {
                member.site == id
                    && match change {
                        Change::Join(_) => member.standing == Standing::Voter,
                        _ => matches!(member.standing, Standing::Closed { .. }),
                    }
            })
        })
    }

    fn finish_change(&mut self, change: Change) {
        self.say("⚙", format!("{change:?} has happened"));
        let node = change.node();
        match change {
            Change::Join(_) => self.nodes[node].outside = false,
            Change::Leave(_) | Change::Expel { .. } => {
                // Clients that go on trying there would try for ever. It comes back, and is told.
                self.clients.retain(|client| client.node != node);
                self.nodes[node].away = false;
                self.start(node);
            }
        }
        self.operator.current = None;
    }

    fn ask(&mut self, change: Change) {
        let (node, id) = (change.node(), self.nodes[change.node()].id);
        let request = match change {
            Change::Join(_) => MemberRequest::Add { site: id, member: member(id.0) },
            Change::Leave(_) => MemberRequest::Leave,
            Change::Expel { .. } => MemberRequest::Expel(id),
        };
        let runs = |node: &usize| self.nodes[*node].process.is_some() && self.nodes[*node].paused == 0;
        let asked: Vec<usize> = match change {
            Change::Leave(_) => vec![node],
            _ => (0..self.nodes.len()).filter(|other| !self.nodes[*other].outside).collect(),
        };
        let asked: Vec<usize> = asked.into_iter().filter(runs).collect();
        let Some(at) = asked.get(self.operator_random.below(asked.len().max(1) as u64) as usize) else {
            return;
        };
        let (reply, answer) = Reply::new();
        self.operator.answer = Some(answer);
        self.step(*at, Input::Member { request, reply });
    }

    /// The sites that count in the end.
    pub fn members(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| !self.nodes[*node].outside).collect()
    }

    /// Whether every removed site whose process runs has been told, and commits no more.
    pub fn removed_know(&self) -> bool {
        let removed = self.nodes.iter().filter(|node| node.outside);
        removed
            .filter_map(|node| node.process.as_ref())
            .all(|process| process.site.shared().status().refusing.is_some())
    }
}
