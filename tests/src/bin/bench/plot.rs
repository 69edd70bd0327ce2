//! The plot: round trips over the number of names, both axes logarithmic.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;

use crate::{client::Trips, figures::Figures, page::grouped, plan::HEADLINE, rounds::RoundTrips};

const SIZE: (u32, u32) = (960, 600);
const FONT: &str = "sans-serif";

/// One line of the plot.
struct Line {
    label: String,
    colour: RGBColor,
    /// Number of names, and microseconds.
    points: Vec<(f64, f64)>,
}

/// Draws the round trips of a run.
pub(crate) fn draw(figures: &Figures, place: &Path) -> Result<()> {
    let lines = lines(&figures.round_trips);
    let title = format!("Round trip of one query, p50 (Linux {})", figures.measured_on.kernel);
    let mut text = String::new();
    drawn(&lines, &title, &mut text).map_err(|error| anyhow!("the plot cannot be drawn: {error}"))?;
    std::fs::write(place, text).with_context(|| format!("cannot write {}", place.display()))
}

fn lines(round_trips: &[RoundTrips]) -> Vec<Line> {
    let line = |label: &str, colour, addresses, of: &dyn Fn(&RoundTrips) -> Option<Trips>| {
        let at = |trips: &RoundTrips| Some((f64::from(trips.setting.names), of(trips)?.p50_ns / 1e3));
        let points =
            round_trips.iter().filter(|trips| trips.setting.addresses == addresses).filter_map(at).collect();
        Line { label: label.to_owned(), colour, points }
    };
    let many = HEADLINE.addresses;
    vec![
        line("CoreDNS behind DNAT", RGBColor(0xd6, 0x27, 0x28), many, &|trips| trips.coredns),
        line("unbound behind DNAT", RGBColor(0xff, 0x7f, 0x0e), many, &|trips| trips.unbound),
        line(&format!("Beeline, {many} addresses a name"), RGBColor(0x1f, 0x77, 0xb4), many, &|trips| {
            Some(trips.beeline.trips)
        }),
        line("Beeline, 1 address a name", RGBColor(0x17, 0xbe, 0xcf), 1, &|trips| Some(trips.beeline.trips)),
        line("reflector: the limit", RGBColor(0x7f, 0x7f, 0x7f), many, &|trips| Some(trips.reflector.trips)),
    ]
}

fn drawn(lines: &[Line], title: &str, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let least = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max);
    let names = least(|point| point.0) * 0.8..most(|point| point.0) * 1.25;
    // A whole power of ten at the bottom: marks begin at one. Above, room for the legend.
    let times = 10_f64.powf(least(|point| point.1).log10().floor())..most(|point| point.1) * 8.0;

    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, (FONT, 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(names.log_scale(), times.log_scale())?;
    chart
        .configure_mesh()
        .x_desc("names in the table")
        .y_desc("microseconds")
        .x_label_formatter(&|names| whole(*names))
        .y_label_formatter(&|time| format!("{time}"))
        .y_labels(8)
        .label_style((FONT, 14))
        .draw()?;
    for Line { label, colour, points } in lines {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font((FONT, 14))
        .background_style(WHITE.mix(0.8))
        .border_style(RGBColor(0xcc, 0xcc, 0xcc))
        .draw()?;
    root.present()?;
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an axis of names ends far below 32 bits"
)]
fn whole(names: f64) -> String {
    grouped(names.round() as u32)
}
