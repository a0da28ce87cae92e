//! Places on earth as 52 bits: the cell of a grid that each bit halves, latitude and longitude in turn. Source:
//! `geohash.c` and `geohash_helper.c` of redis 7.
//!
//! *Invariant:* the order of floating point operations is Redis', so that its results are.

use std::f64::consts::PI;

/// Beyond, a grid of squares is useless.
const LATITUDE_MAX: f64 = 85.051_128_78;
const LONGITUDE_MAX: f64 = 180.0;
const EARTH_RADIUS_METERS: f64 = 6_372_797.560_856;
/// Half of the equator, about.
const MERCATOR_MAX_METERS: f64 = 20_037_726.37;
/// Halvings of each coordinate in a score.
const STEP_MAX: u8 = 26;
const LATITUDE_BITS: u64 = 0x5555_5555_5555_5555;
const LONGITUDE_BITS: u64 = 0xaaaa_aaaa_aaaa_aaaa;
const DEGREE: f64 = PI / 180.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub longitude: f64,
    pub latitude: f64,
}

impl Place {
    /// `None`: there is no such place, or none that the grid has.
    pub(crate) fn new(longitude: f64, latitude: f64) -> Option<Self> {
        let within = longitude.abs() <= LONGITUDE_MAX && latitude.abs() <= LATITUDE_MAX;
        within.then_some(Place { longitude, latitude })
    }

    /// The cell of a score, by its middle.
    pub(crate) fn of_score(score: f64) -> Self {
        let area = Cell { bits: as_c_casts(score), step: STEP_MAX }.area();
        let middle = |(min, max): (f64, f64), limit: f64| ((min + max) / 2.0).clamp(-limit, limit);
        Place {
            longitude: middle(area.longitude, LONGITUDE_MAX),
            latitude: middle(area.latitude, LATITUDE_MAX),
        }
    }

    pub(crate) fn score(self) -> f64 {
        Cell::at(self, STEP_MAX, LATITUDE_MAX).bits as f64
    }

    /// The eleven letters that the rest of the world knows, for which the grid reaches to the poles. The last one has no
    /// bits left to tell of.
    pub(crate) fn letters(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = Cell::at(self, STEP_MAX, 90.0).bits;
        let mut letters = [ALPHABET[0]; 11];
        for (i, letter) in letters.iter_mut().take(10).enumerate() {
            *letter = ALPHABET[(bits >> (52 - (i + 1) * 5) & 0x1f) as usize];
        }
        letters
    }

    /// In meters, along a great circle.
    pub(crate) fn distance(self, to: Place) -> f64 {
        let (lon1, lon2) = (self.longitude * DEGREE, to.longitude * DEGREE);
        let v = ((lon2 - lon1) / 2.0).sin();
        if v == 0.0 {
            return latitude_distance(self.latitude, to.latitude);
        }
        let (lat1, lat2) = (self.latitude * DEGREE, to.latitude * DEGREE);
        let u = ((lat2 - lat1) / 2.0).sin();
        let a = u * u + lat1.cos() * lat2.cos() * v * v;
        2.0 * EARTH_RADIUS_METERS * a.sqrt().asin()
    }
}

fn latitude_distance(a: f64, b: f64) -> f64 {
    EARTH_RADIUS_METERS * (b * DEGREE - a * DEGREE).abs()
}

/// As the compiler of redis-server turns a double into 64 bits, those included that do not fit: scores that are no places.
fn as_c_casts(score: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    let cast = |value: f64| if value.abs() < HALF { value as i64 } else { i64::MIN };
    if score < HALF { cast(score) as u64 } else { cast(score - HALF) as u64 ^ 1 << 63 }
}

/// What is searched around a place, in meters.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

impl Shape {
    /// How far a place lies from the middle, if it lies within.
    pub(crate) fn reaches(self, middle: Place, place: Place) -> Option<f64> {
        let within = match self {
            Shape::Circle { radius } => middle.distance(place) <= radius,
            Shape::Box { width, height } => {
                let beside = Place { longitude: middle.longitude, latitude: place.latitude };
                latitude_distance(place.latitude, middle.latitude) <= height / 2.0
                    && place.distance(beside) <= width / 2.0
            }
        };
        within.then(|| middle.distance(place))
    }

    /// Half of its width and height.
    fn halves(self) -> (f64, f64) {
        match self {
            Shape::Circle { radius } => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
        }
    }

    fn bounds(self, middle: Place) -> Area {
        let (width, height) = self.halves();
        let Place { longitude, latitude } = middle;
        let lat_delta = height / EARTH_RADIUS_METERS / DEGREE;
        // Towards the pole a meter is more degrees.
        let edge = if latitude < 0.0 { latitude - lat_delta } else { latitude + lat_delta };
        let lon_delta = width / EARTH_RADIUS_METERS / (edge * DEGREE).cos() / DEGREE;
        Area {
            longitude: (longitude - lon_delta, longitude + lon_delta),
            latitude: (latitude - lat_delta, latitude + lat_delta),
        }
    }

    /// How fine the grid may be for nine cells to hold all.
    fn step(self, latitude: f64) -> u8 {
        let (width, height) = self.halves();
        let mut meters = match self {
            Shape::Circle { radius } => radius,
            Shape::Box { .. } => (width * width + height * height).sqrt(),
        };
        if meters == 0.0 {
            return STEP_MAX;
        }
        let mut step = 1_i32;
        while meters < MERCATOR_MAX_METERS {
            meters *= 2.0;
            step += 1;
        }
        step -= 2;
        if latitude.abs() > 66.0 {
            step -= 1;
            if latitude.abs() > 80.0 {
                step -= 1;
            }
        }
        step.clamp(1, i32::from(STEP_MAX)) as u8
    }

    /// The ranges of scores, `low..high`, that hold every place within; in the order in which Redis looks.
    pub(crate) fn ranges(self, middle: Place) -> Vec<(f64, f64)> {
        let bounds = self.bounds(middle);
        let mut cell = Cell::at(middle, self.step(middle.latitude), LATITUDE_MAX);
        let too_fine = cell.moved(0, 1).area().latitude.1 < bounds.latitude.1
            || cell.moved(0, -1).area().latitude.0 > bounds.latitude.0
            || cell.moved(1, 0).area().longitude.1 < bounds.longitude.1
            || cell.moved(-1, 0).area().longitude.0 > bounds.longitude.0;
        if cell.step > 1 && too_fine {
            cell = Cell::at(middle, cell.step - 1, LATITUDE_MAX);
        }
        let area = cell.area();
        let useless = |(x, y): (i8, i8)| {
            cell.step >= 2
                && (y < 0 && area.latitude.0 < bounds.latitude.0
                    || y > 0 && area.latitude.1 > bounds.latitude.1
                    || x < 0 && area.longitude.0 < bounds.longitude.0
                    || x > 0 && area.longitude.1 > bounds.longitude.1)
        };
        const AROUND: [(i8, i8); 9] =
            [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let mut cells: Vec<Cell> = Vec::new();
        for (x, y) in AROUND.into_iter().filter(|to| !useless(*to)) {
            let next = cell.moved(x, y);
            // In a coarse grid neighbours may be the same.
            if cells.iter().all(|cell| cell.bits != next.bits) {
                cells.push(next);
            }
        }
        cells.into_iter().map(Cell::scores).collect()
    }
}

/// Degrees from, and to.
struct Area {
    longitude: (f64, f64),
    latitude: (f64, f64),
}

/// A cell of a grid that has been halved `step` times each way.
#[derive(Clone, Copy)]
struct Cell {
    bits: u64,
    step: u8,
}

impl Cell {
    fn at(place: Place, step: u8, latitude_max: f64) -> Self {
        let cells = (1_u64 << step) as f64;
        let part = |value: f64, max: f64| ((value + max) / (max + max) * cells) as u32;
        let latitude = spread(part(place.latitude, latitude_max));
        let longitude = spread(part(place.longitude, LONGITUDE_MAX));
        Cell { bits: latitude | longitude << 1, step }
    }

    fn area(self) -> Area {
        let cells = (1_u64 << self.step) as f64;
        let range = |at: u32, max: f64| {
            let edge = |at: f64| -max + (at / cells) * (max + max);
            (edge(f64::from(at)), edge(f64::from(at.wrapping_add(1))))
        };
        Area {
            longitude: range(gather(self.bits >> 1), LONGITUDE_MAX),
            latitude: range(gather(self.bits), LATITUDE_MAX),
        }
    }

    /// The neighbour to the east (`x`) and north (`y`).
    fn moved(self, x: i8, y: i8) -> Self {
        let unused = 64 - u32::from(self.step) * 2;
        let along = |bits: u64, others: u64, by: i8| {
            let ones = others >> unused;
            let moved = match by {
                0 => return bits,
                1.. => bits.wrapping_add(ones + 1),
                ..0 => (bits | ones).wrapping_sub(ones + 1),
            };
            moved & (!others >> unused)
        };
        let longitude = along(self.bits & LONGITUDE_BITS, LATITUDE_BITS, x);
        let latitude = along(self.bits & LATITUDE_BITS, LONGITUDE_BITS, y);
        Cell { bits: longitude | latitude, step: self.step }
    }

    fn scores(self) -> (f64, f64) {
        let align = |bits: u64| (bits << (52 - u32::from(self.step) * 2)) as f64;
        (align(self.bits), align(self.bits + 1))
    }
}

/// The bits of a number at the even places.
fn spread(value: u32) -> u64 {
    let mut bits = u64::from(value);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, LATITUDE_BITS),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// The number whose bits are at the even places.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & LATITUDE_BITS;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}
