//! What demo records are made of. Domains end in `.example` (RFC 2606) and phone numbers begin with 555-01, so that
//! nothing here belongs to anybody.

pub const GIVEN: [&str; 48] = [
    "Amara", "Anders", "Anna", "Ben", "Bianca", "Camille", "Chen", "Clara", "Daniel", "Elif", "Emma", "Felix",
    "Fatima", "George", "Hana", "Henrik", "Ines", "Ivan", "James", "Jana", "Kenji", "Laila", "Lena", "Lucas", "Magda",
    "Marco", "Maria", "Mateo", "Maya", "Mikael", "Nadia", "Noah", "Olivia", "Omar", "Paula", "Pierre", "Priya",
    "Rafael", "Rosa", "Samuel", "Sara", "Sofia", "Tariq", "Theo", "Victor", "Wei", "Yara", "Zoë",
];

pub const FAMILY: [&str; 60] = [
    "Adeyemi",
    "Andersson",
    "Bauer",
    "Becker",
    "Bianchi",
    "Carter",
    "Chowdhury",
    "Cohen",
    "Costa",
    "Delgado",
    "Dubois",
    "Eriksen",
    "Evans",
    "Farkas",
    "Ferrari",
    "Fontaine",
    "García",
    "Green",
    "Gupta",
    "Hansen",
    "Hoffmann",
    "Ibrahim",
    "Ito",
    "Jansen",
    "Jiménez",
    "Kaya",
    "Keller",
    "Khan",
    "Kowalski",
    "Kumar",
    "Larsen",
    "Lefèvre",
    "Lindgren",
    "López",
    "Martin",
    "Mensah",
    "Meyer",
    "Moreau",
    "Müller",
    "Nakamura",
    "Nguyen",
    "Novák",
    "O’Brien",
    "Okafor",
    "Olsen",
    "Park",
    "Patel",
    "Pereira",
    "Petrov",
    "Rossi",
    "Santos",
    "Schmidt",
    "Silva",
    "Smith",
    "Sørensen",
    "Svensson",
    "Tanaka",
    "Turner",
    "Weber",
    "Wilson",
];

pub struct Place {
    pub city: &'static str,
    pub state: Option<&'static str>,
    pub country: &'static str,
    pub postal_code: &'static str,
    pub currency: &'static str,
}

const fn place(
    city: &'static str,
    state: Option<&'static str>,
    country: &'static str,
    postal_code: &'static str,
    currency: &'static str,
) -> Place {
    Place { city, state, country, postal_code, currency }
}

pub const PLACES: [Place; 24] = [
    place("New York", Some("NY"), "United States", "10013", "USD"),
    place("Chicago", Some("IL"), "United States", "60607", "USD"),
    place("Austin", Some("TX"), "United States", "78701", "USD"),
    place("Seattle", Some("WA"), "United States", "98104", "USD"),
    place("Denver", Some("CO"), "United States", "80202", "USD"),
    place("Boston", Some("MA"), "United States", "02110", "USD"),
    place("Portland", Some("OR"), "United States", "97205", "USD"),
    place("Toronto", Some("ON"), "Canada", "M5V 2T6", "CAD"),
    place("Vancouver", Some("BC"), "Canada", "V6B 1A9", "CAD"),
    place("London", None, "United Kingdom", "EC2A 4NE", "GBP"),
    place("Manchester", None, "United Kingdom", "M1 2WD", "GBP"),
    place("Berlin", None, "Germany", "10115", "EUR"),
    place("Hamburg", None, "Germany", "20457", "EUR"),
    place("München", Some("Bayern"), "Germany", "80331", "EUR"),
    place("Paris", Some("Île-de-France"), "France", "75011", "EUR"),
    place("Lyon", None, "France", "69002", "EUR"),
    place("Milano", None, "Italy", "20121", "EUR"),
    place("Barcelona", None, "Spain", "08005", "EUR"),
    place("Amsterdam", None, "Netherlands", "1016 BS", "EUR"),
    place("Zürich", None, "Switzerland", "8005", "CHF"),
    place("Stockholm", None, "Sweden", "111 52", "SEK"),
    place("São Paulo", Some("SP"), "Brazil", "01310-100", "BRL"),
    place("Tokyo", None, "Japan", "105-0001", "JPY"),
    place("Sydney", Some("NSW"), "Australia", "2000", "AUD"),
];

pub const STREETS: [&str; 16] = [
    "Harbour Street",
    "Station Road",
    "Mill Lane",
    "Market Square",
    "Orchard Avenue",
    "Canal Street",
    "Kings Road",
    "Garden Row",
    "Foundry Lane",
    "Bridge Street",
    "Park Avenue",
    "Lindenallee",
    "Rue du Port",
    "Via Garibaldi",
    "Church Walk",
    "North Quay",
];

pub const INDUSTRIES: [&str; 12] = [
    "Software",
    "Logistics",
    "Manufacturing",
    "Healthcare",
    "Retail",
    "Finance",
    "Energy",
    "Education",
    "Hospitality",
    "Construction",
    "Food",
    "Media",
];

/// Names of companies that only leads come from: a word of each.
pub const COMPANY_FIRST: [&str; 30] = [
    "Alder", "Amber", "Arctic", "Beacon", "Birch", "Bright", "Cedar", "Clear", "Copper", "Coral", "Delta", "Ember",
    "Falcon", "Granite", "Harbor", "Indigo", "Juniper", "Lark", "Lunar", "Maple", "Meadow", "Nova", "Opal", "Pioneer",
    "Quartz", "River", "Silver", "Summit", "Tidal", "Willow",
];
pub const COMPANY_SECOND: [&str; 18] = [
    "Analytics",
    "Bakeries",
    "Clinics",
    "Components",
    "Dental",
    "Design",
    "Energy",
    "Farms",
    "Foods",
    "Freight",
    "Hotels",
    "Interiors",
    "Labs",
    "Media",
    "Optics",
    "Robotics",
    "Schools",
    "Textiles",
];

pub const TITLES: [&str; 16] = [
    "Chief executive",
    "Head of purchasing",
    "Operations manager",
    "IT director",
    "Finance director",
    "Plant manager",
    "Head of sales",
    "Marketing manager",
    "Product manager",
    "Office manager",
    "Head of logistics",
    "Founder",
    "Data analyst",
    "Buyer",
    "Head of support",
    "Chief engineer",
];

pub const DEPARTMENTS: [&str; 8] =
    ["Management", "Purchasing", "Operations", "IT", "Finance", "Sales", "Marketing", "Engineering"];

pub const SOURCES: [&str; 8] =
    ["web", "referral", "fair", "partner", "newsletter", "cold call", "advertisement", "webinar"];

pub const TAGS: [&str; 10] = [
    "priority",
    "newsletter",
    "fair",
    "upsell",
    "reference",
    "long-term",
    "price-sensitive",
    "vip",
    "pilot",
    "renewal",
];

pub const NOTES: [&str; 12] = [
    "Asked for a quote for three sites.",
    "Wants to see the reference customer in their region first.",
    "Budget is decided in the next quarter; call back then.",
    "Uses a competitor’s product until the end of the year.\nThe contract cannot be ended before.",
    "Met at the fair; very interested in the API.",
    "Needs single sign-on before anything else.",
    "Prefers to be called in the morning.",
    "Has downloaded the price list twice.",
    "The decision is made by the board; prepare a one-page summary.",
    "Would start with a pilot of ten people.",
    "Came through a partner; commission applies.",
    "Asked about data protection and where the servers are.",
];
