//! The plot of a run: what each contender adds to a request, as dots (on a logarithmic scale a bar's length says nothing)
//! with whiskers from the smallest to the largest.

use crate::contender::Contender;
use crate::error::Error;
use crate::statistics::{Measured, Spread};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

const WIDTH: u32 = 900;
const ROW: u32 = 36;
const MARGIN: u32 = 24;
const TOP: u32 = 56;
const BOTTOM: u32 = 48;
/// Where the scale begins and ends.
const LEFT: u32 = 200;
const RIGHT: u32 = WIDTH - 190;

const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const PALE: RGBColor = RGBColor(0xd0, 0xd7, 0xde);
const OWN: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const OTHER: RGBColor = RGBColor(0x8c, 0x95, 0x9f);

/// Writes an SVG.
pub(crate) fn added_cpu(measured: &Measured, file: &Path) -> Result<(), Error> {
    let mut rows: Vec<_> =
        measured.contenders().into_iter().filter_map(|one| Some((one, measured.added(one)?))).collect();
    rows.sort_by(|(_, a), (_, b)| a.median.total_cmp(&b.median));
    let height = TOP + ROW * u32::try_from(rows.len()).unwrap_or_default() + BOTTOM;
    let area = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    draw(&area, &rows, height).map_err(Error::other)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(area: &Area<'_>, rows: &[(Contender, Spread)], height: u32) -> Drawn {
    area.fill(&WHITE)?;
    let scale = Scale::of(rows);
    text(area, "CPU time added to a request, µs", (MARGIN, 26), 18, HPos::Left)?;
    for tick in scale.ticks() {
        let at = scale.at(tick);
        area.draw(&PathElement::new([(at, px(TOP) - 8), (at, px(height - BOTTOM))], PALE))?;
        text(area, &format!("{tick}"), (u(at), height - BOTTOM + 16), 13, HPos::Center)?;
    }
    for (row, (contender, spread)) in rows.iter().enumerate() {
        dot(area, &scale, TOP + ROW * u32::try_from(row)? + ROW / 2, *contender, *spread)?;
    }
    let note =
        "blue: SCBTE; median of the rounds, whiskers from the smallest to the largest; logarithmic; less is better";
    text(area, note, (MARGIN, height - 12), 12, HPos::Left)?;
    area.present()?;
    Ok(())
}

fn dot(area: &Area<'_>, scale: &Scale, y: u32, contender: Contender, spread: Spread) -> Drawn {
    let colour = if contender.name().starts_with("scbte") { OWN } else { OTHER };
    let [start, min, median, max] = [scale.start, spread.min, spread.median, spread.max].map(|value| scale.at(value));
    let middle = px(y);
    text(area, contender.name(), (LEFT - 10, y), 15, HPos::Right)?;
    area.draw(&PathElement::new([(start, middle), (min, middle)], PALE.stroke_width(1)))?;
    area.draw(&PathElement::new([(min, middle), (max, middle)], INK.stroke_width(1)))?;
    for end in [min, max] {
        area.draw(&PathElement::new([(end, middle - 5), (end, middle + 5)], INK.stroke_width(1)))?;
    }
    area.draw(&Circle::new((median, middle), 5, colour.filled()))?;
    let label = format!("{}  ({}–{})", short(spread.median), short(spread.min), short(spread.max));
    text(area, &label, (u(max.max(median)) + 10, y), 14, HPos::Left)
}

fn short(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn text(area: &Area<'_>, text: &str, (x, y): (u32, u32), size: u32, anchor: HPos) -> Drawn {
    let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(anchor, VPos::Center));
    area.draw_text(text, &style, (px(x), px(y)))?;
    Ok(())
}

/// Logarithmic: what is measured lies between one microsecond and some hundreds.
struct Scale {
    start: f64,
    end: f64,
}

impl Scale {
    fn of(rows: &[(Contender, Spread)]) -> Self {
        let smallest = rows.iter().map(|(_, spread)| spread.min).filter(|value| *value > 0.1).fold(1.0, f64::min);
        let largest = rows.iter().map(|(_, spread)| spread.max).fold(10.0, f64::max);
        Self { start: 10_f64.powf(smallest.log10().floor()), end: largest }
    }

    fn at(&self, value: f64) -> i32 {
        let part = (value.max(self.start) / self.start).log10() / (self.end / self.start).log10();
        px(LEFT) + (part * f64::from(RIGHT - LEFT)) as i32
    }

    fn ticks(&self) -> Vec<f64> {
        let decade = |power: i32| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power));
        let all = (-1..6).flat_map(decade);
        all.filter(|tick| (self.start..=self.end).contains(tick)).collect()
    }
}

fn px(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn u(value: i32) -> u32 {
    u32::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_right_is_dearer() {
        let spread = |median: f64| Spread { min: median / 2.0, median, max: median * 2.0 };
        let scale = Scale::of(&[(Contender::ScbteHot, spread(8.0)), (Contender::ExtAuthzOpa, spread(300.0))]);
        assert_eq!((scale.start, scale.at(1.0), scale.at(600.0)), (1.0, px(LEFT), px(RIGHT)));
        assert!(scale.at(8.0) < scale.at(300.0));
        assert_eq!(scale.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]);
    }
}
