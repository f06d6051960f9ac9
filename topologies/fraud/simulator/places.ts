/** A city, and its place in the plane: distances within a few thousand km are wanted to a few percent only. */
export interface City {
  readonly name: string;
  /** ISO 3166-1 alpha-2. */
  readonly country: string;
  readonly lat: number;
  readonly lon: number;
  /** Length of one degree of longitude here: 111.32 km times the cosine of the latitude. */
  readonly kmPerDegreeEast: number;
}

/** Length of one degree of latitude. */
const kmPerDegreeNorth = 111.2;

const city = (name: string, country: string, lat: number, lon: number, kmPerDegreeEast: number): City => ({
  name,
  country,
  lat,
  lon,
  kmPerDegreeEast,
});

/** Where card holders live; all bill in euros. */
export const homeCities: readonly City[] = [
  city("Paris", "FR", 48.86, 2.35, 73.2),
  city("Madrid", "ES", 40.42, -3.7, 84.8),
  city("Berlin", "DE", 52.52, 13.4, 67.7),
  city("Rome", "IT", 41.9, 12.5, 82.9),
  city("Vienna", "AT", 48.21, 16.37, 74.2),
  city("Amsterdam", "NL", 52.37, 4.9, 68.0),
  city("Brussels", "BE", 50.85, 4.35, 70.3),
  city("Lisbon", "PT", 38.72, -9.14, 86.9),
  city("Munich", "DE", 48.14, 11.58, 74.3),
  city("Lyon", "FR", 45.76, 4.84, 77.7),
  city("Milan", "IT", 45.46, 9.19, 78.1),
  city("Barcelona", "ES", 41.39, 2.17, 83.5),
  city("Helsinki", "FI", 60.17, 24.94, 55.4),
  city("Dublin", "IE", 53.35, -6.26, 66.5),
];

/** Where they also travel to, and where copied cards are used. */
export const farCities: readonly City[] = [
  city("London", "GB", 51.51, -0.13, 69.3),
  city("Istanbul", "TR", 41.01, 28.98, 84.0),
  city("New York", "US", 40.71, -74.01, 84.4),
  city("Miami", "US", 25.76, -80.19, 100.3),
  city("Sao Paulo", "BR", -23.55, -46.63, 102.0),
  city("Bangkok", "TH", 13.76, 100.5, 108.1),
  city("Dubai", "AE", 25.2, 55.27, 100.7),
  city("Marrakesh", "MA", 31.63, -8.0, 94.8),
];

/** Roughly how far apart two cities are, in km. */
export function kmBetween(a: City, b: City): number {
  const north = (a.lat - b.lat) * kmPerDegreeNorth;
  const degreesEast = Math.abs(a.lon - b.lon);
  const east = (Math.min(degreesEast, 360 - degreesEast) * (a.kmPerDegreeEast + b.kmPerDegreeEast)) / 2;
  return Math.sqrt(north * north + east * east);
}

/** Five decimals of a degree, about 1 m: as a terminal's address is stored. */
const toPrecision = (degrees: number): number => Math.round(degrees * 1e5) / 1e5;

/** Latitude of a point that many km north of the city's centre. */
export const latOf = (place: City, kmNorth: number): number => toPrecision(place.lat + kmNorth / kmPerDegreeNorth);

/** Longitude of a point that many km east of the city's centre. */
export const lonOf = (place: City, kmEast: number): number => toPrecision(place.lon + kmEast / place.kmPerDegreeEast);
