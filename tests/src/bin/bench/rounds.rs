//! Round trips of a table's names: reflector, Beeline and the servers in alternating rounds.
//!
//! In: a setting. Out: the medians of the rounds, and of what is compared the median of the comparisons within a round:
//! whatever slows the machine down for a while slows down both sides of a comparison.

use anyhow::{Context, Result, ensure};
use aya::{
    programs::SchedClassifier,
    sys::{Stats, enable_stats},
};
use beeline::dataplane::Dataplane;
use beeline_tests::{
    ask::Ask,
    coredns::CoreDns,
    node::{CLUSTER_DNS, COREDNS_ALONE, UNBOUND},
    unbound::Unbound,
};
use hickory_proto::rr::RecordType;
use serde::Serialize;

use crate::{
    bed::{Bed, program},
    client::{Client, OneCpu, Trips, warm_up},
    kernel, names,
    plan::{Plan, Setting},
};

/// What was measured of one setting.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RoundTrips {
    #[serde(flatten)]
    pub(crate) setting: Setting,
    pub(crate) reflector: InKernel,
    pub(crate) beeline: InKernel,
    pub(crate) coredns: Option<Trips>,
    pub(crate) unbound: Option<Trips>,
    /// Of the p50, within a round.
    pub(crate) over_reflector: f64,
    /// Of the p50, within a round.
    pub(crate) over_reflector_ns: f64,
    pub(crate) coredns_over: Option<f64>,
    pub(crate) unbound_over: Option<f64>,
}

/// Answers of a program in the kernel.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct InKernel {
    #[serde(flatten)]
    pub(crate) trips: Trips,
    /// A run of the program on a query, by the kernel's statistics, which are off while round trips are timed.
    pub(crate) program_ns: f64,
}

struct Round {
    reflector: InKernel,
    beeline: InKernel,
    servers: Option<[Trips; 2]>,
}

/// Measures one setting.
pub(crate) fn measure(bed: &Bed, setting: Setting, plan: &Plan) -> Result<RoundTrips> {
    let mut dataplane = kernel::empty_dataplane()?;
    kernel::fill(&mut dataplane, &names::zone(setting)?)?;
    let mut probes = kernel::probes()?;
    let servers = plan.with_servers(setting).then(|| Servers::start(bed, setting)).transpose()?;
    let mut sides = Sides { bed, setting, plan, client: Client::new(bed.pod(), CLUSTER_DNS.v4)?, servers };
    sides.check_answers(&mut dataplane)?;
    let _one_cpu = OneCpu::stay()?;
    let mut rounds = Vec::with_capacity(plan.rounds);
    for number in 0..plan.rounds {
        rounds.push(sides.round(number, program(&mut probes, "reflector")?, &mut dataplane)?);
    }
    Ok(summary(setting, &rounds))
}

/// Those that are compared, and what they are asked.
struct Sides<'b> {
    bed: &'b Bed,
    setting: Setting,
    plan: &'b Plan,
    client: Client,
    servers: Option<Servers>,
}

impl Sides<'_> {
    /// Every other round goes the other way round: what comes second is not always the same.
    fn round(
        &mut self,
        number: usize,
        reflector: &mut SchedClassifier,
        dataplane: &mut Dataplane,
    ) -> Result<Round> {
        let (reflector, beeline) = if number.is_multiple_of(2) {
            let reflector = self.in_kernel(reflector)?;
            (reflector, self.beeline(dataplane)?)
        } else {
            let beeline = self.beeline(dataplane)?;
            (self.in_kernel(reflector)?, beeline)
        };
        let servers = match &mut self.servers {
            Some(servers) => {
                self.bed.nobody_is_hooked()?;
                Some(servers.ask(self.setting.names, self.plan.server_queries)?)
            }
            None => None,
        };
        Ok(Round { reflector, beeline, servers })
    }

    fn beeline(&mut self, dataplane: &mut Dataplane) -> Result<InKernel> {
        let before = dataplane.counts()?.answers();
        let measured = self.in_kernel(program(dataplane.ebpf(), "beeline")?)?;
        let answered = dataplane.counts()?.answers() - before;
        let asked = [self.plan.queries, self.statistics_queries()].map(|queries| queries + warm_up(queries));
        let asked = asked.iter().sum::<usize>() as u64;
        // One query of 65,536 passes; who has no reply asks again.
        ensure!(
            answered + 1 + asked / 1000 >= asked,
            "Beeline answered {answered} of {asked} queries: somebody else answered the rest"
        );
        Ok(measured)
    }

    fn in_kernel(&mut self, program: &mut SchedClassifier) -> Result<InKernel> {
        let hook = self.bed.hook(program)?;
        let trips = self.client.ask(self.setting.names, self.plan.queries)?;
        let _statistics =
            enable_stats(Stats::RunTime).context("the kernel keeps no statistics of programs")?;
        let before = hook.program()?;
        self.client.ask(self.setting.names, self.statistics_queries())?;
        let after = hook.program()?;
        let runs = after.run_count() - before.run_count();
        ensure!(runs > 0, "the kernel counted no run of the program");
        let took = after.run_time() - before.run_time();
        Ok(InKernel { trips, program_ns: nanoseconds(took) / count(runs) })
    }

    const fn statistics_queries(&self) -> usize {
        self.plan.queries / 4
    }

    /// One reply of each is read whole: fast is worth nothing if wrong.
    fn check_answers(&self, dataplane: &mut Dataplane) -> Result<()> {
        let last = self.setting.names - 1;
        let expected: Vec<_> = names::addresses(self.setting, last).collect();
        let ask = Ask::new(&names::text(last), RecordType::A)?;
        let check = |server| {
            let addresses = self.bed.pod().namespace.enter(|| ask.udp(server))?.addresses();
            ensure!(addresses == expected, "{server} answers {addresses:?}, not {expected:?}");
            Ok(())
        };
        if self.servers.is_some() {
            check(COREDNS_ALONE.v4.into()).context("CoreDNS")?;
            check(UNBOUND.v4.into()).context("unbound")?;
        }
        let _hook = self.bed.hook(program(dataplane.ebpf(), "beeline")?)?;
        check(CLUSTER_DNS.v4.into()).context("Beeline")
    }
}

/// CoreDNS and unbound with the same names, each behind DNAT, and a client of each.
struct Servers {
    _coredns: CoreDns,
    _unbound: Unbound,
    clients: [Client; 2],
}

impl Servers {
    fn start(bed: &Bed, setting: Setting) -> Result<Self> {
        let records = names::records(setting);
        let unbound = Unbound::start(bed.node(), &records)?;
        let coredns = CoreDns::start(bed.node(), &[records])?;
        let clients = [Client::new(bed.pod(), COREDNS_ALONE.v4)?, Client::new(bed.pod(), UNBOUND.v4)?];
        Ok(Self { _coredns: coredns, _unbound: unbound, clients })
    }

    fn ask(&mut self, names: u32, queries: usize) -> Result<[Trips; 2]> {
        let [coredns, unbound] = &mut self.clients;
        Ok([coredns.ask(names, queries)?, unbound.ask(names, queries)?])
    }
}

fn summary(setting: Setting, rounds: &[Round]) -> RoundTrips {
    let of = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure));
    let trips = |side: &dyn Fn(&Round) -> Trips| Trips {
        p50_ns: of(&|round| side(round).p50_ns),
        p99_ns: of(&|round| side(round).p99_ns),
    };
    let in_kernel = |side: &dyn Fn(&Round) -> InKernel| InKernel {
        trips: trips(&|round| side(round).trips),
        program_ns: of(&|round| side(round).program_ns),
    };
    let with_servers = rounds.iter().all(|round| round.servers.is_some());
    let server =
        |at: usize| move |round: &Round| round.servers.map_or_else(Trips::default, |servers| servers[at]);
    let over = |at: usize| of(&|round| server(at)(round).p50_ns / round.beeline.trips.p50_ns);
    RoundTrips {
        setting,
        reflector: in_kernel(&|round| round.reflector),
        beeline: in_kernel(&|round| round.beeline),
        coredns: with_servers.then(|| trips(&server(0))),
        unbound: with_servers.then(|| trips(&server(1))),
        over_reflector: of(&|round| round.beeline.trips.p50_ns / round.reflector.trips.p50_ns),
        over_reflector_ns: of(&|round| round.beeline.trips.p50_ns - round.reflector.trips.p50_ns),
        coredns_over: with_servers.then(|| over(0)),
        unbound_over: with_servers.then(|| over(1)),
    }
}

/// The middle one; of an even number the upper of both middle ones; 0 of none.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn nanoseconds(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// A count as a divisor.
#[expect(clippy::cast_precision_loss, reason = "no count here comes near 53 bits")]
pub(crate) const fn count(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_round_does_not_move_the_median() {
        assert!((median([3.0, 900.0, 1.0, 2.0, 2.5].into_iter()) - 2.5).abs() < f64::EPSILON);
    }
}
