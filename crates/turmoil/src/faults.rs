//! What happens to the hosts: drawn from the seed, undone after a while.

use crate::dice::Dice;
use std::time::Duration;
use turmoil::Sim;

/// One fault at a time a host, several at a time in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The machine is without power: what was not synced is gone.
    PowerCut {
        host: usize,
        quiet: Quiet,
    },
    /// All of them at once, as in one rack.
    PowerCutOfAll,
    /// The process is told to stop, and starts again when it has.
    Stop {
        host: usize,
    },
    /// The process is killed and starts again; the kernel keeps what it wrote.
    Kill {
        host: usize,
    },
    Partition {
        a: usize,
        b: usize,
    },
    OneWay {
        from: usize,
        to: usize,
    },
    Isolated {
        host: usize,
    },
    /// Nothing is lost, and nothing arrives until it is over.
    Held {
        a: usize,
        b: usize,
    },
    Slow {
        a: usize,
        b: usize,
        ms: u64,
    },
}

/// Do the others learn at once that a machine is gone?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quiet {
    /// Its connections are closed, as a process's are.
    No,
    /// Its packets end first: they hear nothing.
    Yes,
}

/// What the faults happen to.
pub(crate) trait Hosts {
    /// What may happen to all of them at once, or to one that stops by itself.
    fn rare(&self, host: usize) -> Fault;
    /// Is one more failure, of this host, within the promise?
    fn may_fail(&self, host: usize) -> bool;
    /// It is dead from here on.
    fn failed(&self, host: usize);
    /// Tell it to stop.
    fn stop(&self, host: usize);
}

/// What becomes of what is sent through a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It is lost, and with it whatever connection it was part of: simulated connections repeat nothing.
    Loses,
    /// It arrives when the cut is over, as what a real connection repeats.
    Holds,
}

struct Lasting {
    until_ms: u64,
    fault: Fault,
}

pub(crate) struct Faults {
    dice: Dice,
    cut: Cut,
    hosts: Vec<String>,
    /// Network faults do not begin while another is there: undoing one would undo a part of the other.
    network: Option<Lasting>,
    down: Vec<(usize, u64, Quiet)>,
    next_ms: u64,
    pub count: u64,
}

impl Faults {
    pub(crate) fn new(seed: u64, hosts: Vec<String>, cut: Cut) -> Self {
        Faults { dice: Dice::new(seed), cut, hosts, network: None, down: Vec::new(), next_ms: 0, count: 0 }
    }

    /// What begins or ends at this moment; called once a ms.
    pub(crate) fn at(
        &mut self,
        now_ms: u64,
        sim: &mut Sim<'_>,
        hosts: &impl Hosts,
        mut told: impl FnMut(&str),
    ) {
        self.undo(now_ms, sim, &mut told);
        self.let_pass(sim);
        if now_ms < self.next_ms {
            return;
        }
        self.next_ms = now_ms + self.dice.between(50, 1_200);
        let Some(fault) = self.draw(hosts) else { return };
        let lasts_ms = self.dice.between(20, 2_500);
        told(&format!("{now_ms} ms: {fault:?} for {lasts_ms} ms"));
        self.count += 1;
        self.begin(now_ms + lasts_ms, fault, sim, hosts);
    }

    /// Cuts the power of a host at this very moment, mostly: what it has just said may rest on nothing that it keeps.
    pub(crate) fn strike(
        &mut self,
        host: usize,
        now_ms: u64,
        sim: &mut Sim<'_>,
        hosts: &impl Hosts,
        mut told: impl FnMut(&str),
    ) {
        let is_down = self.down.iter().any(|(down, ..)| *down == host);
        if is_down || !hosts.may_fail(host) || !self.dice.one_in(3) {
            return;
        }
        let lasts_ms = self.dice.between(1, 100);
        told(&format!("{now_ms} ms: {} is struck for {lasts_ms} ms", self.name(host)));
        self.count += 1;
        self.begin(now_ms + lasts_ms, Fault::PowerCut { host, quiet: Quiet::No }, sim, hosts);
    }

    /// Ends everything: from here on nothing is wrong.
    pub(crate) fn heal(&mut self, sim: &mut Sim<'_>, mut told: impl FnMut(&str)) {
        self.next_ms = u64::MAX;
        self.undo(u64::MAX, sim, &mut told);
    }

    fn draw(&mut self, hosts: &impl Hosts) -> Option<Fault> {
        let count = self.hosts.len() as u64;
        let host = self.dice.between(0, count) as usize;
        let other = (host + self.dice.between(1, count) as usize) % self.hosts.len();
        let is_up = |host: usize, down: &[(usize, u64, Quiet)]| down.iter().all(|(down, ..)| *down != host);
        let quiet = if self.dice.one_in(2) { Quiet::Yes } else { Quiet::No };
        let fault = match self.dice.between(0, 16) {
            0..=3 => Fault::PowerCut { host, quiet },
            4 => hosts.rare(host),
            5..=7 => Fault::Kill { host },
            8 | 9 => Fault::Partition { a: host, b: other },
            10 | 11 => Fault::OneWay { from: host, to: other },
            12 => Fault::Isolated { host },
            13 => Fault::Held { a: host, b: other },
            _ => Fault::Slow { a: host, b: other, ms: self.dice.between(5, 200) },
        };
        let possible = match &fault {
            // Its links are cut for a quiet one: that is a network fault.
            Fault::PowerCut { host, quiet } => {
                is_up(*host, &self.down)
                    && hosts.may_fail(*host)
                    && (*quiet == Quiet::No || self.network.is_none())
            }
            Fault::Kill { host } | Fault::Stop { host } => is_up(*host, &self.down) && hosts.may_fail(*host),
            Fault::PowerCutOfAll => self.down.is_empty(),
            Fault::Partition { .. }
            | Fault::OneWay { .. }
            | Fault::Isolated { .. }
            | Fault::Held { .. }
            | Fault::Slow { .. } => {
                self.network.is_none() && self.down.iter().all(|(.., quiet)| *quiet == Quiet::No)
            }
        };
        possible.then_some(fault)
    }

    fn apart(&self, sim: &Sim<'_>, a: usize, b: usize) {
        match self.cut {
            Cut::Loses => sim.partition(self.name(a), self.name(b)),
            Cut::Holds => sim.hold(self.name(a), self.name(b)),
        }
    }

    fn together(&self, sim: &Sim<'_>, a: usize, b: usize) {
        match self.cut {
            Cut::Loses => sim.repair(self.name(a), self.name(b)),
            Cut::Holds => sim.release(self.name(a), self.name(b)),
        }
    }

    /// A link that is cut one way, and holds, holds both: what goes the other way is passed on.
    fn let_pass(&self, sim: &Sim<'_>) {
        let Some(Lasting { fault: Fault::OneWay { from, to }, .. }) = &self.network else { return };
        if self.cut == Cut::Loses {
            return;
        }
        let (from, to) = (sim.lookup(self.name(*from)), sim.lookup(self.name(*to)));
        sim.links(|links| {
            for sent in links.flatten() {
                let (src, dst) = sent.pair();
                if src.ip() == to && dst.ip() == from {
                    sent.deliver();
                }
            }
        });
    }

    fn name(&self, host: usize) -> &str {
        &self.hosts[host]
    }

    fn others(&self, host: usize) -> Vec<usize> {
        (0..self.hosts.len()).filter(|other| *other != host).collect()
    }

    fn begin(&mut self, until_ms: u64, fault: Fault, sim: &mut Sim<'_>, hosts: &impl Hosts) {
        match fault {
            Fault::PowerCut { host, quiet } => {
                if quiet == Quiet::Yes {
                    for other in self.others(host) {
                        sim.partition(self.name(host), self.name(other));
                    }
                }
                sim.crash(self.name(host));
                hosts.failed(host);
                self.down.push((host, until_ms, quiet));
            }
            Fault::PowerCutOfAll => {
                for host in 0..self.hosts.len() {
                    sim.crash(self.name(host));
                    hosts.failed(host);
                    let apart_ms = self.dice.between(0, 400);
                    self.down.push((host, until_ms + apart_ms, Quiet::No));
                }
            }
            Fault::Kill { host } => {
                hosts.failed(host);
                sim.bounce(self.name(host));
            }
            Fault::Stop { host } => hosts.stop(host),
            Fault::Partition { a, b } => {
                self.apart(sim, a, b);
                self.network = Some(Lasting { until_ms, fault: Fault::Partition { a, b } });
            }
            Fault::OneWay { from, to } => {
                match self.cut {
                    Cut::Loses => sim.partition_oneway(self.name(from), self.name(to)),
                    Cut::Holds => sim.hold(self.name(from), self.name(to)),
                }
                self.network = Some(Lasting { until_ms, fault: Fault::OneWay { from, to } });
            }
            Fault::Isolated { host } => {
                for other in self.others(host) {
                    self.apart(sim, host, other);
                }
                self.network = Some(Lasting { until_ms, fault: Fault::Isolated { host } });
            }
            Fault::Held { a, b } => {
                sim.hold(self.name(a), self.name(b));
                self.network = Some(Lasting { until_ms, fault: Fault::Held { a, b } });
            }
            Fault::Slow { a, b, ms } => {
                sim.set_link_latency(self.name(a), self.name(b), Duration::from_millis(ms));
                self.network = Some(Lasting { until_ms, fault: Fault::Slow { a, b, ms } });
            }
        }
    }

    fn undo(&mut self, now_ms: u64, sim: &mut Sim<'_>, told: &mut impl FnMut(&str)) {
        let due: Vec<(usize, u64, Quiet)> =
            self.down.iter().filter(|(_, until_ms, _)| *until_ms <= now_ms).copied().collect();
        self.down.retain(|(_, until_ms, _)| *until_ms > now_ms);
        for (host, _, quiet) in due {
            if quiet == Quiet::Yes {
                for other in self.others(host) {
                    sim.repair(self.name(host), self.name(other));
                }
            }
            told(&format!("{} starts again", self.name(host)));
            sim.bounce(self.name(host));
        }
        let Some(Lasting { until_ms, fault }) = &self.network else { return };
        if *until_ms > now_ms {
            return;
        }
        match fault {
            Fault::Partition { a, b } => self.together(sim, *a, *b),
            Fault::OneWay { from, to } => match self.cut {
                Cut::Loses => sim.repair_oneway(self.name(*from), self.name(*to)),
                Cut::Holds => sim.release(self.name(*from), self.name(*to)),
            },
            Fault::Isolated { host } => {
                for other in self.others(*host) {
                    self.together(sim, *host, other);
                }
            }
            Fault::Held { a, b } => sim.release(self.name(*a), self.name(*b)),
            Fault::Slow { a, b, .. } => {
                sim.set_link_latency(self.name(*a), self.name(*b), Duration::from_millis(1));
            }
            Fault::PowerCut { .. } | Fault::PowerCutOfAll | Fault::Kill { .. } | Fault::Stop { .. } => {}
        }
        told("the network is whole again");
        self.network = None;
    }
}
