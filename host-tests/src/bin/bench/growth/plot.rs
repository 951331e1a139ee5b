//! Small multiples: a panel for each series, added CPU time over the values, evenly spaced; and one for the flood.

use super::{Growth, Memory, Series};
use crate::error::Error;
use plotters::prelude::*;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const COLUMNS: usize = 3;
const PANEL: (u32, u32) = (330, 240);

const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const PALE: RGBColor = RGBColor(0xd0, 0xd7, 0xde);
const LINES: [RGBColor; 3] = [RGBColor(0x1f, 0x6f, 0xb4), RGBColor(0xd1, 0x6a, 0x1f), RGBColor(0x6b, 0x8e, 0x23)];

/// A panel's contents: its caption, the labels of its values, and its lines.
struct Panel {
    caption: String,
    labels: Vec<String>,
    lines: Vec<(String, Vec<f64>)>,
}

pub(super) fn write(growth: &Growth, file: &Path) -> Result<(), Error> {
    let of_flood = growth.memory.as_ref().map(Panel::of_flood);
    let panels: Vec<_> = growth.series.iter().map(Panel::of).chain(of_flood).collect();
    if panels.is_empty() {
        // What an earlier run drew is not of this page.
        return fs::remove_file(file)
            .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(Error::file(file)(error)) });
    }
    let rows = panels.len().div_ceil(COLUMNS);
    let columns = panels.len().min(COLUMNS);
    let size = |count: usize, each: u32| u32::try_from(count).unwrap_or(1) * each;
    let area = SVGBackend::new(file, (size(columns, PANEL.0), size(rows, PANEL.1))).into_drawing_area();
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        let cells = area.split_evenly((rows, columns));
        panels.iter().zip(&cells).try_for_each(|(panel, cell)| panel.draw(cell))?;
        area.present()?;
        Ok(())
    };
    drawn().map_err(Error::other)
}

impl Panel {
    fn of(series: &Series) -> Self {
        let line = |line: &super::Line| {
            (line.name.to_owned(), line.points.iter().map(|point| point.added_cpu_us.median).collect())
        };
        let first = series.lines.first().map(|line| line.points.as_slice()).unwrap_or_default();
        Self {
            caption: format!("added µs, by {}", series.quantity),
            labels: first.iter().map(|point| short(point.x)).collect(),
            lines: series.lines.iter().map(line).collect(),
        }
    }

    fn of_flood(memory: &Memory) -> Self {
        Self {
            caption: "MiB, by tokens (valid, then bad)".to_owned(),
            labels: memory.flood.iter().map(|flood| short(flood.valid + flood.invalid)).collect(),
            lines: vec![("resident".into(), memory.flood.iter().map(|flood| flood.resident_mib).collect())],
        }
    }

    fn draw(
        &self,
        area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let last = self.labels.len().saturating_sub(1).max(1) as f64;
        let highest = self.lines.iter().flat_map(|(_, values)| values).copied().fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(&self.caption, ("sans-serif", 15).into_font().color(&INK))
            .margin(10)
            .margin_right(18)
            .x_label_area_size(24)
            .y_label_area_size(36)
            .build_cartesian_2d(0.0..last, 0.0..highest * self.room())?;
        let label = |at: &f64| self.label(*at);
        let style = ("sans-serif", 12).into_font().color(&INK);
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().light_line_style(TRANSPARENT).bold_line_style(PALE).axis_style(PALE);
        mesh.y_label_formatter(&|value| format!("{value:.0}"));
        mesh.x_labels(self.labels.len().min(9))
            .y_labels(5)
            .label_style(style.clone())
            .x_label_formatter(&label)
            .draw()?;
        for ((name, values), colour) in self.lines.iter().zip(LINES) {
            let points: Vec<_> = values.iter().enumerate().map(|(at, value)| (at as f64, *value)).collect();
            let line = chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
            line.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
            chart.draw_series(points.into_iter().map(|at| Circle::new(at, 3, colour.filled())))?;
        }
        if self.lines.len() > 1 {
            let mut legend = chart.configure_series_labels();
            legend
                .position(SeriesLabelPosition::UpperLeft)
                .label_font(style)
                .background_style(WHITE.mix(0.8))
                .draw()?;
        }
        Ok(())
    }

    /// Above the lines, for the legend where there is one.
    fn room(&self) -> f64 {
        if self.lines.len() > 1 { 1.6 } else { 1.15 }
    }

    /// Only values that were measured have one.
    fn label(&self, at: f64) -> String {
        let is_value = (at - at.round()).abs() < 1e-6;
        let index = at.round() as usize;
        self.labels.get(index).filter(|_| is_value).cloned().unwrap_or_default()
    }
}

fn short(value: u32) -> String {
    match value {
        1_000_000.. => format!("{}M", f64::from(value) / 1e6),
        1_000.. => format!("{}k", f64::from(value) / 1e3),
        _ => value.to_string(),
    }
}
