//! The latency of each operation as a picture.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::operations::Operation;
use crate::results::Results;
use crate::stores::Kind;

const SIZE: (u32, u32) = (900, 430);
/// Microseconds.
const RANGE: std::ops::Range<f64> = 0.02..100_000.0;
/// The part of an operation's width that its bars fill.
const FILLED: f64 = 0.8;
/// What is left free on the right, in widths of an operation.
const FOR_LEGEND: f64 = 0.9;

/// Draws a bar to the median, and a line from there to the 99th percentile, for each store
/// and operation.
pub(crate) fn draw(results: &Results, file: &Path) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let end = Operation::ALL.len() as f64 + FOR_LEGEND;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..end, RANGE.log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_labels(8)
        .light_line_style(TRANSPARENT)
        .y_desc("one call: median (bar) and 99th percentile (line)")
        .y_label_formatter(&time)
        .label_style(("sans-serif", 13))
        .draw()?;
    let wide = FILLED / Kind::ALL.len() as f64;
    for (number, (kind, of)) in results.stores().enumerate() {
        let colour = colour(kind);
        let bars = Operation::ALL.iter().enumerate().flat_map(|(at, operation)| {
            let left = at as f64 + (1.0 - FILLED) / 2.0 + number as f64 * wide;
            let (middle, times) = (left + wide / 2.0, of.times.of(*operation));
            let (median, most) = (times.median(), times.at(0.99));
            let bar = [(left, RANGE.start), (left + wide * 0.9, median)];
            [
                Rectangle::new(bar, colour.filled()).into_dyn(),
                PathElement::new([(middle, median), (middle, most)], colour.stroke_width(2))
                    .into_dyn(),
            ]
        });
        chart
            .draw_series(bars)?
            .label(kind.name())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .border_style(TRANSPARENT)
        .label_font(("sans-serif", 13))
        .draw()?;
    for (at, operation) in Operation::ALL.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(at as f64 + 0.5, RANGE.start));
        let style = ("sans-serif", 14).into_text_style(&root);
        let style = style.pos(Pos::new(HPos::Center, VPos::Top));
        root.draw(&Text::new(operation.name(), (x, y + 8), style))?;
    }
    root.present()?;
    Ok(())
}

fn time(micros: &f64) -> String {
    match *micros {
        ..1.0 => format!("{:.0} ns", micros * 1e3),
        ..1_000.0 => format!("{micros:.0} µs"),
        _ => format!("{:.0} ms", micros / 1e3),
    }
}

/// Told apart by who does not see colours as most do (Okabe and Ito's).
const fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Memory => RGBColor(0x00, 0x9e, 0x73),
        Kind::Redis => RGBColor(0xd5, 0x5e, 0x00),
        Kind::RedisAlways => RGBColor(0xe6, 0x9f, 0x00),
        Kind::Postgres => RGBColor(0x00, 0x72, 0xb2),
        Kind::Sqlite => RGBColor(0xcc, 0x79, 0xa7),
    }
}
