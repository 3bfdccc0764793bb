//! The companies that the demo organizations deal with.

use crate::crm::account::AccountType::{self, Competitor, Customer, Partner, Prospect, Vendor};

/// A company.
pub struct Company {
    pub name: &'static str,
    pub industry: &'static str,
    pub kind: AccountType,
    /// The company that it belongs to: a name further up.
    pub parent: Option<&'static str>,
    pub employees: i32,
}

const fn company(
    name: &'static str,
    industry: &'static str,
    kind: AccountType,
    parent: Option<&'static str>,
    employees: i32,
) -> Company {
    Company { name, industry, kind, parent, employees }
}

pub const OF_ACME: [Company; 40] = [
    company("Northwind Group", "Logistics", Customer, None, 8_400),
    company("Northwind Freight", "Logistics", Customer, Some("Northwind Group"), 3_900),
    company("Northwind Cold Chain", "Logistics", Customer, Some("Northwind Freight"), 720),
    company("Northwind Terminals", "Logistics", Prospect, Some("Northwind Freight"), 1_100),
    company("Northwind Air", "Logistics", Prospect, Some("Northwind Group"), 1_650),
    company("Meridian Health", "Healthcare", Customer, None, 12_200),
    company("Meridian Clinics", "Healthcare", Customer, Some("Meridian Health"), 5_300),
    company("Meridian Laboratories", "Healthcare", Prospect, Some("Meridian Health"), 940),
    company("Meridian Clinics Nordic", "Healthcare", Prospect, Some("Meridian Clinics"), 610),
    company("Halden & Söhne", "Manufacturing", Customer, None, 2_300),
    company("Halden Werkzeuge", "Manufacturing", Customer, Some("Halden & Söhne"), 480),
    company("Halden Antriebe", "Manufacturing", Prospect, Some("Halden & Söhne"), 350),
    company("Blue Lantern Hotels", "Hospitality", Customer, None, 4_100),
    company("Blue Lantern Resorts", "Hospitality", Prospect, Some("Blue Lantern Hotels"), 1_900),
    company("Orchard Foods", "Food", Customer, None, 3_300),
    company("Orchard Bakeries", "Food", Prospect, Some("Orchard Foods"), 880),
    company("Castellan Bank", "Finance", Prospect, None, 6_700),
    company("Castellan Leasing", "Finance", Prospect, Some("Castellan Bank"), 410),
    company("Sunfield Energy", "Energy", Customer, None, 2_750),
    company("Sunfield Storage", "Energy", Prospect, Some("Sunfield Energy"), 260),
    company("Brightwater Schools", "Education", Customer, None, 1_450),
    company("Kestrel Robotics", "Manufacturing", Customer, None, 640),
    company("Lumen Press", "Media", Customer, None, 390),
    company("Ostara Retail", "Retail", Customer, None, 9_800),
    company("Ostara Online", "Retail", Prospect, Some("Ostara Retail"), 530),
    company("Pinnacle Builders", "Construction", Prospect, None, 2_050),
    company("Quayside Hotels", "Hospitality", Prospect, None, 760),
    company("Redwood Insurance", "Finance", Prospect, None, 3_150),
    company("Stellar Studios", "Media", Prospect, None, 120),
    company("Tamarind Kitchen", "Food", Prospect, None, 85),
    company("Umbra Software", "Software", Partner, None, 310),
    company("Vantage Consulting", "Software", Partner, None, 1_240),
    company("Westgate Systems", "Software", Partner, None, 95),
    company("Yellow Door Events", "Hospitality", Vendor, None, 40),
    company("Zephyr Hosting", "Software", Vendor, None, 220),
    company("Paperkite Print", "Media", Vendor, None, 65),
    company("Ajax Industries", "Manufacturing", Competitor, None, 5_600),
    company("Rivalry Corporation", "Software", Competitor, None, 900),
    company("Fjord Shipping", "Logistics", Prospect, None, 1_380),
    company("Greenhouse Clinics", "Healthcare", Prospect, None, 270),
];

pub const OF_TECHSTARTUP: [Company; 12] = [
    company("Elbe Ventures", "Finance", Customer, None, 45),
    company("Kiosk & Co", "Retail", Customer, None, 180),
    company("Kiosk Logistik", "Logistics", Prospect, Some("Kiosk & Co"), 75),
    company("Morgenrot Medien", "Media", Customer, None, 95),
    company("Polar Diagnostics", "Healthcare", Prospect, None, 320),
    company("Polar Research", "Healthcare", Prospect, Some("Polar Diagnostics"), 60),
    company("Querfeld Biohof", "Food", Customer, None, 28),
    company("Spree Mobility", "Logistics", Prospect, None, 510),
    company("Tonwerk Audio", "Manufacturing", Prospect, None, 140),
    company("Wolke Sieben", "Software", Partner, None, 35),
    company("Netzraum", "Software", Vendor, None, 70),
    company("Grosskonkurrent", "Software", Competitor, None, 2_400),
];
