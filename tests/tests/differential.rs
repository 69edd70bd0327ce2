//! Tier 3: the kernel against the host and against the zone.
//!
//! Random and mutated queries over random zones. The kernel's verdict and reply must equal, byte for byte, what the same
//! code makes of the same table on the host; what hickory decodes from an answer must equal the zone's records; and an
//! unspoilt query must come to what the zone, its count and its size call for. Needs root.
//!
//! `BEELINE_SEED` repeats a run, `BEELINE_CASES` makes it longer.

#[path = "differential/queries.rs"]
mod queries;
#[path = "differential/zones.rs"]
mod zones;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use beeline::dataplane::DataplaneSettings;
use beeline::zone::Answer;
use beeline_common::verdict::{Answered, Pass};
use beeline_tests::frames::{DNS_V4, DNS_V6, message_of, opened};
use beeline_tests::host::Host;
use beeline_tests::judge::{Terms, asked_name};
use beeline_tests::kernel::{Kernel, Verdict};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::queries::{Case, Kind};
use crate::zones::Zone;

const CASES: u64 = 200_000;
/// Cases between two changes of the zone, and changes between two loads of everything.
const CASES_A_ZONE: u64 = 2_000;
const ZONES_A_LOAD: u64 = 10;

#[test]
fn kernel_and_host_and_zone_agree_on_every_query() {
    let seed = variable("BEELINE_SEED").unwrap_or_else(|| rand::rng().random());
    let cases = variable("BEELINE_CASES").unwrap_or(CASES);
    println!("differential: BEELINE_SEED={seed} BEELINE_CASES={cases}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut tally = Tally::default();
    let started = Instant::now();
    while tally.cases < cases {
        let mut round = Round::load(&mut random);
        for _ in 0..ZONES_A_LOAD {
            round.renew(&mut random);
            for _ in 0..CASES_A_ZONE.min(cases - tally.cases) {
                let case = queries::random(&mut random, &round.zone, round.terms.zone);
                match round.try_case(&case) {
                    Ok(verdict) => tally.count(&case, &verdict),
                    Err(fault) => panic!("{}", round.report(seed, tally.cases, &case, &fault)),
                }
            }
        }
    }
    println!("differential: {tally:?} in {:.1} s", started.elapsed().as_secs_f64());
    tally.assert_telling();
}

/// One load of the programs, with settings of its own.
struct Round {
    kernel: Kernel,
    host: Host,
    zone: Zone,
    terms: Terms,
}

impl Round {
    fn load(random: &mut StdRng) -> Self {
        let terms = Terms {
            zone: ["cluster.local", "k8s.example.org", "local"][random.random_range(0..3)],
            ttl: [0, 5, 30, 300, 86_400][random.random_range(0..5)],
            serial: 0,
            max_size: [512, 1232, 1400][random.random_range(0..3)],
        };
        let settings = DataplaneSettings {
            addresses: vec![IpAddr::V4(DNS_V4), IpAddr::V6(DNS_V6)],
            zone: terms.zone.parse().unwrap(),
            ttl: terms.ttl,
            max_size: u16::try_from(terms.max_size).unwrap(),
            stale_after: Duration::from_secs(600),
            max_memory: 1 << 28,
            debug: false,
        };
        Self { kernel: Kernel::load(&settings).unwrap(), host: Host::default(), zone: Zone::default(), terms }
    }

    /// Changes the zone, and tells the kernel no more than the changes.
    fn renew(&mut self, random: &mut StdRng) {
        let changes = self.zone.change(random, self.terms.zone);
        self.terms.serial = random.random();
        self.kernel.apply(&changes, || self.zone.iter(), self.terms.serial).unwrap();
        self.kernel.beat().unwrap();
        let occupancy = self.kernel.dataplane().occupancy();
        assert_eq!((occupancy.names, occupancy.left_out), (self.zone.len() as u64, 0));
    }

    /// The verdict, where all agree on it; or who does not.
    fn try_case(&mut self, case: &Case) -> Result<Verdict, String> {
        let verdict = self.kernel.run(&case.frame).map_err(|error| format!("{error:#}"))?;
        let host = self.host.run(self.kernel.dataplane(), &case.frame);
        if verdict != host {
            return Err(format!("kernel {}\nhost   {}", shown(&verdict), shown(&host)));
        }
        self.check_due(case, &verdict)?;
        if let Verdict::Answered(_, reply) = &verdict {
            self.check_answer(&case.frame, reply)
                .map_err(|fault| format!("{fault:#}\n{}", shown(&verdict)))?;
        }
        Ok(verdict)
    }

    /// An unspoilt query has one right verdict.
    fn check_due(&self, case: &Case, verdict: &Verdict) -> Result<(), String> {
        let due = match &case.kind {
            Kind::Spoilt => return Ok(()),
            Kind::OtherType => Err(Pass::Type),
            Kind::Clean(name) => match self.zone.get(name) {
                None => Err(Pass::UnknownName),
                Some(answer) => {
                    self.terms.due(&case.message, answer).map_err(|error| format!("{error:#}"))?
                }
            },
        };
        let found: Result<Answered, Pass> = match verdict {
            Verdict::Passed(reason) => Err(*reason),
            Verdict::Answered(kind, _) => Ok(*kind),
        };
        if found == due { Ok(()) } else { Err(format!("due is {due:?}, found is {}", shown(verdict))) }
    }

    /// An answer, whatever was asked, says what the zone says of the name in the question.
    fn check_answer(&self, frame: &[u8], reply: &[u8]) -> anyhow::Result<()> {
        let asked = message_of(frame)?;
        let name = asked_name(asked)?;
        let Some(answer) = self.zone.get(&name) else { anyhow::bail!("the zone says nothing of {name}") };
        self.terms.check(asked, opened(frame, reply)?, answer)
    }

    fn report(&self, seed: u64, number: u64, case: &Case, fault: &str) -> String {
        let name = if let Kind::Clean(name) = &case.kind { Some(name) } else { None };
        let answer: Option<&Answer> = name.and_then(|name| self.zone.get(name));
        format!(
            "BEELINE_SEED={seed}, case {number}\n{fault}\nterms  {:?}\nasked  {:?}, {answer:?}\nframe  {}",
            self.terms,
            case.kind,
            hex(&case.frame)
        )
    }
}

/// What became of the cases.
#[derive(Debug, Default)]
struct Tally {
    cases: u64,
    spoilt: u64,
    answered: [u64; 4],
    spoilt_answered: u64,
    passed: BTreeMap<Pass, u64>,
}

impl Tally {
    fn count(&mut self, case: &Case, verdict: &Verdict) {
        let spoilt = matches!(case.kind, Kind::Spoilt);
        self.cases += 1;
        self.spoilt += u64::from(spoilt);
        match verdict {
            Verdict::Passed(reason) => *self.passed.entry(*reason).or_default() += 1,
            Verdict::Answered(kind, _) => {
                self.answered[*kind as usize] += 1;
                self.spoilt_answered += u64::from(spoilt);
            }
        }
    }

    /// A program that passes all, or answers all, and a generator that asks nothing of note, do not get by.
    fn assert_telling(&self) {
        let share = |count: u64| count as f64 / self.cases as f64;
        let answered = share(self.answered.iter().sum());
        assert!((0.35..0.80).contains(&answered), "{answered:.2} of all were answered: {self:?}");
        for kind in Answered::ALL {
            assert!(share(self.answered[kind as usize]) > 0.02, "hardly any {kind:?}: {self:?}");
        }
        assert!((0.2..0.6).contains(&share(self.spoilt)), "{self:?}");
        assert!(self.spoilt_answered * 20 > self.spoilt, "spoilt queries hardly get through: {self:?}");
        if self.cases >= CASES {
            // What no frame brings about.
            let elsewhere = [Pass::Stale, Pass::NoTable, Pass::NoRoom];
            let missing = |reason: &Pass| !self.passed.contains_key(reason) && !elsewhere.contains(reason);
            let missing: Vec<Pass> = Pass::ALL.into_iter().filter(missing).collect();
            assert!(missing.is_empty(), "never passed for {missing:?}");
        }
    }
}

fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Passed(reason) => format!("passed for {reason:?}"),
        Verdict::Answered(kind, reply) => format!("answered {kind:?} {}", hex(reply)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text} is no number: {error}")))
}
