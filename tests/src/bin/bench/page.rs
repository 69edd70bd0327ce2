//! The page that the benchmark prints.

use std::{path::Path, time::Instant};

use anstream::println;
use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};

use crate::{
    client::Trips,
    figures::{Bound, Figures, Machine, Target},
    loading::Loaded,
    not_dns::NotDns,
    plan::HEADLINE,
    rounds::{InKernel, RoundTrips},
};

const BOLD: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// See the module.
pub(crate) struct Page {
    began: Instant,
}

impl Page {
    pub(crate) fn new() -> Self {
        println!("{BOLD}Beeline: how fast{BOLD:#}\n");
        Self { began: Instant::now() }
    }

    /// Says what is being done, with the seconds since the beginning.
    pub(crate) fn step(&self, text: &str) {
        println!("{FAINT}{:5.1} s{FAINT:#}  {text}", self.began.elapsed().as_secs_f64());
    }

    pub(crate) fn written(&self, what: &str, place: &Path) {
        println!(" {what}: {}", place.display());
    }

    pub(crate) fn figures(&self, figures: &Figures) {
        let Machine { kernel, architecture, processor, cpus, load } = &figures.measured_on;
        let seconds = self.began.elapsed().as_secs_f64();
        println!(
            "\nMeasured in {seconds:.0} s on Linux {kernel} ({architecture}), {cpus} CPUs ({processor}), load {load:.1};\n\
             medians of {} rounds, ratios and differences taken within a round.",
            figures.plan.rounds
        );
        if let Some(trips) = figures.round_trips.iter().find(|trips| trips.setting == HEADLINE) {
            answerers(trips);
        }
        sizes(&figures.round_trips);
        packets(&figures.not_dns);
        tables(&figures.tables);
        targets(&figures.targets);
    }
}

/// Who answers how fast, in the setting of the targets.
fn answerers(trips: &RoundTrips) {
    headline(&format!("One query in flight, {}", trips.setting));
    let mut table = table(["", "p50", "p99", "over the reflector", "the program itself"]);
    let InKernel { trips: reflector, program_ns } = trips.reflector;
    let row = |who: &str, trips: Trips, over: String, program: Option<f64>| {
        let program = program.map(nanoseconds).unwrap_or_default();
        [who.to_owned(), span(trips.p50_ns), span(trips.p99_ns), over, program]
    };
    table.add_row(row("reflector: the limit", reflector, String::new(), Some(program_ns)));
    let over = format!("{:.2} x, + {}", trips.over_reflector, nanoseconds(trips.over_reflector_ns));
    table.add_row(row("Beeline", trips.beeline.trips, over, Some(trips.beeline.program_ns)));
    for (who, server) in [("unbound behind DNAT", trips.unbound), ("CoreDNS behind DNAT", trips.coredns)] {
        if let Some(server) = server {
            let over = format!("{:.1} x", server.p50_ns / reflector.p50_ns);
            table.add_row(row(who, server, over, None));
        }
    }
    print(table);
}

/// What the number of names does.
fn sizes(round_trips: &[RoundTrips]) {
    headline("Tables of other sizes, names asked for uniformly at random");
    let mut table = table([
        "names",
        "addresses",
        "reflector p50",
        "Beeline p50",
        "p99",
        "ratio",
        "difference",
        "program",
    ]);
    for trips in round_trips {
        let beeline = trips.beeline.trips;
        table.add_row([
            grouped(trips.setting.names),
            trips.setting.addresses.to_string(),
            span(trips.reflector.trips.p50_ns),
            span(beeline.p50_ns),
            span(beeline.p99_ns),
            format!("{:.3} x", trips.over_reflector),
            nanoseconds(trips.over_reflector_ns),
            nanoseconds(trips.beeline.program_ns),
        ]);
    }
    print(table);
}

fn packets(not_dns: &[NotDns]) {
    headline("A packet that is not DNS: the program run on it again and again");
    let mut table = table(["packet", "empty program", "Beeline", "ratio"]);
    for NotDns { packet, empty_ns, beeline_ns, over_empty } in not_dns {
        let fine = |time: f64| format!("{time:.1} ns");
        table.add_row([
            (*packet).to_owned(),
            fine(*empty_ns),
            fine(*beeline_ns),
            format!("{over_empty:.2} x"),
        ]);
    }
    print(table);
}

fn tables(tables: &[Loaded]) {
    headline("The answer table");
    let mut table =
        table(["names", "addresses", "loaded in", "one change", "mean", "kernel memory", "a name"]);
    for loaded in tables {
        table.add_row([
            grouped(loaded.setting.names),
            loaded.setting.addresses.to_string(),
            span(loaded.load_seconds * 1e9),
            span(loaded.change_ns),
            span(loaded.change_mean_ns),
            format!("{} KiB", loaded.kernel_bytes / 1024),
            format!("{:.1} bytes", loaded.bytes_per_name),
        ]);
    }
    print(table);
}

fn targets(targets: &[Target]) {
    headline("Targets");
    for Target { what, value, unit, bound, met } in targets {
        let (style, mark) = match (bound, met) {
            (Bound::None, _) => (FAINT, '·'),
            (_, true) => (GOOD, '✓'),
            (_, false) => (BAD, '✗'),
        };
        let bound = match bound {
            Bound::AtMost(most) => format!("at most {most}"),
            Bound::AtLeast(least) => format!("at least {least}"),
            Bound::None => String::new(),
        };
        println!(" {style}{mark}{style:#} {:<60} {:>14}  {bound}", what, format!("{value:.2} {unit}"));
    }
    println!();
}

fn headline(text: &str) {
    println!("\n{BOLD}{text}{BOLD:#}\n");
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(header);
    table
}

fn print(mut table: Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}

/// A time as a person reads it.
fn span(nanoseconds: f64) -> String {
    match nanoseconds {
        less if less < 1e3 => format!("{less:.0} ns"),
        less if less < 1e6 => format!("{:.2} µs", less / 1e3),
        less if less < 1e9 => format!("{:.1} ms", less / 1e6),
        more => format!("{:.2} s", more / 1e9),
    }
}

fn nanoseconds(time: f64) -> String {
    format!("{time:.0} ns")
}

/// A number with its thousands set apart.
pub(crate) fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([7, 1_000, 10_000, 1_234_567].map(grouped), ["7", "1,000", "10,000", "1,234,567"]);
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        assert_eq!([61.2, 2_441.0, 1.5e6, 2e9].map(span), ["61 ns", "2.44 µs", "1.5 ms", "2.00 s"]);
    }
}
