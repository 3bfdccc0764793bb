//! Demo accounts, contacts and leads. Invariant: every record passes the rules that an input would have to, and nothing
//! happened to it before it was made or after now.

use super::{
    companies::Company,
    dice::Dice,
    organization::Organization,
    words::{
        COMPANY_FIRST, COMPANY_SECOND, DEPARTMENTS, FAMILY, GIVEN, INDUSTRIES, NOTES, PLACES, Place, SOURCES, STREETS,
        TAGS, TITLES,
    },
};
use crate::{
    crm::{
        account::{Account, AccountType},
        contact::Contact,
        lead::{Lead, LeadStatus},
    },
    identity::Member,
    kit::{
        id::Id,
        permission::Role,
        scalars::{Address, CurrencyCode, Date, DateTime, Decimal, EmailAddress, JsonObject, Url},
    },
};
use chrono::{Duration, NaiveDate};
use serde_json::json;

/// Makes the records of one organization.
pub struct Maker<'a> {
    pub dice: &'a mut Dice,
    pub organization: &'a Organization,
    pub members: &'a [Member],
    pub now: DateTime,
}

impl Maker<'_> {
    pub fn accounts(&mut self) -> Vec<Account> {
        let mut accounts: Vec<Account> = Vec::with_capacity(self.organization.companies.len());
        for company in self.organization.companies {
            // The tree grows downwards, so that a company is younger than the one it belongs to.
            let parent = company.parent.and_then(|name| accounts.iter().find(|account| account.name == name));
            let parent = parent.map(|parent| (parent.id, parent.created_at));
            accounts.push(self.account(company, parent));
        }
        accounts
    }

    fn account(&mut self, company: &Company, parent: Option<(Id<Account>, DateTime)>) -> Account {
        let created_at = match parent {
            Some((_, above)) => self.moment_after(above),
            None => self.moment(200, 365),
        };
        let place = self.dice.pick(&PLACES);
        let domain = format!("{}.example", slug(company.name));
        let address = self.address(place);
        let owner_id = self.seller();
        let sold_to = matches!(company.kind, AccountType::Customer | AccountType::Prospect);
        Account {
            id: self.dice.id(created_at),
            name: company.name.to_owned(),
            website: Some(Url(format!("https://www.{domain}"))),
            domain: Some(domain),
            industry: Some(company.industry.to_owned()),
            r#type: company.kind,
            annual_revenue: Some(self.revenue(company.employees)),
            currency: CurrencyCode(place.currency.to_owned()),
            employees: Some(company.employees),
            phone: Some(self.phone()),
            shipping_address: self.dice.chance(40).then(|| address.clone()),
            billing_address: Some(address),
            description: self.dice.maybe(40, |dice| (*dice.pick(&NOTES)).to_owned()),
            parent_id: parent.map(|(id, _)| id),
            tags: self.tags(),
            custom_fields: object(json!({
                "accountNumber": format!("A-{}", self.dice.between(10_000, 99_999)),
                "paymentTermDays": if sold_to { Some(*self.dice.pick(&[14, 30, 60])) } else { None },
            })),
            owner_id: Some(owner_id),
            created_by: Some(owner_id),
            created_at,
            updated_at: self.moment_after(created_at),
            version: 1,
            deleted_at: None,
            deleted_by: None,
        }
    }

    pub fn contacts(&mut self, accounts: &[Account]) -> Vec<Contact> {
        let mut contacts: Vec<Contact> = Vec::with_capacity(self.organization.contacts);
        // Whom one deals with: competitors have no contacts.
        let open: Vec<&Account> = accounts.iter().filter(|account| account.r#type != AccountType::Competitor).collect();
        for index in 0..self.organization.contacts {
            // Everybody has one, then the large ones have more.
            let Some(account) = open.get(index).copied().or_else(|| {
                let (one, other) = (*self.dice.pick(&open), *self.dice.pick(&open));
                Some(if one.employees >= other.employees { one } else { other })
            }) else {
                continue;
            };
            // The first at an account leads those who come later.
            let lead = contacts.iter().find(|other| other.account_id == Some(account.id));
            let lead = lead.map(|lead| (lead.id, lead.created_at));
            contacts.push(self.contact(account, lead));
        }
        contacts
    }

    fn contact(&mut self, account: &Account, superior: Option<(Id<Contact>, DateTime)>) -> Contact {
        let created_at = self.moment_after(superior.map_or(account.created_at, |(_, at)| at));
        let (first_name, last_name) = self.name();
        let domain = account.domain.clone().unwrap_or_default();
        let last_contacted_at = self.dice.chance(70).then(|| self.moment_after(created_at));
        let updated_at = last_contacted_at.unwrap_or(created_at);
        let birthday = NaiveDate::from_ymd_opt(
            self.dice.between(1958, 2001) as i32,
            self.dice.between(1, 12) as u32,
            self.dice.between(1, 28) as u32,
        );
        Contact {
            id: self.dice.id(created_at),
            email: Some(EmailAddress(format!("{}.{}@{domain}", slug(&first_name), slug(&last_name)))),
            first_name,
            last_name,
            phone: Some(self.phone()),
            mobile: self.dice.chance(50).then(|| self.phone()),
            title: Some((*self.dice.pick(&TITLES)).to_owned()),
            department: Some((*self.dice.pick(&DEPARTMENTS)).to_owned()),
            account_id: Some(account.id),
            reports_to_id: superior.map(|(id, _)| id),
            address: account.billing_address.clone().filter(|_| self.dice.chance(60)),
            birthday: birthday.filter(|_| self.dice.chance(35)).map(Date),
            lead_source: self.dice.maybe(60, |dice| (*dice.pick(&SOURCES)).to_owned()),
            do_not_call: self.dice.chance(8),
            email_opt_out: self.dice.chance(12),
            last_contacted_at,
            tags: self.tags(),
            custom_fields: object(json!({ "language": self.dice.pick(&["en", "de", "fr", "es", "it"]) })),
            owner_id: account.owner_id,
            created_by: account.owner_id,
            created_at,
            updated_at,
            version: 1,
            deleted_at: None,
            deleted_by: None,
        }
    }

    pub fn leads(&mut self, accounts: &[Account], contacts: &[Contact]) -> Vec<Lead> {
        let open: Vec<&Account> = accounts.iter().filter(|account| account.r#type == AccountType::Prospect).collect();
        (0..self.organization.leads).map(|_| self.lead(&open, contacts)).collect()
    }

    fn lead(&mut self, open: &[&Account], contacts: &[Contact]) -> Lead {
        // More of the last weeks than of last year.
        let most = *self.dice.pick(&[14, 60, 150, 360]);
        let created_at = self.moment(0, most);
        let age = self.now.0 - created_at.0;
        let status = self.status(age);
        let place = self.dice.pick(&PLACES);
        let employees = *self.dice.pick(&[8, 25, 60, 140, 320, 900, 2_400]) + self.dice.between(0, 40) as i32;
        let touched = (status != LeadStatus::New).then(|| self.moment_after(created_at));
        let contact = (status == LeadStatus::Converted).then(|| self.dice.pick(contacts));
        let (first_name, last_name) = match contact {
            Some(contact) => (contact.first_name.clone(), contact.last_name.clone()),
            None => self.name(),
        };
        // Some work at a company that is known already.
        let account = self.dice.maybe(40, |dice| *dice.pick(open)).filter(|_| contact.is_none());
        let company = match account {
            Some(account) => account.name.clone(),
            None => format!("{} {}", self.dice.pick(&COMPANY_FIRST), self.dice.pick(&COMPANY_SECOND)),
        };
        let domain = format!("{}.example", slug(&company));
        let email = format!("{}.{}@{domain}", slug(&first_name), slug(&last_name));
        // A few are still nobody's: they wait to be assigned.
        let owner_id = (status != LeadStatus::New || self.dice.chance(80)).then(|| self.seller());
        let employees = account.and_then(|account| account.employees).unwrap_or(employees);
        Lead {
            id: self.dice.id(created_at),
            first_name,
            last_name,
            email: contact.and_then(|contact| contact.email.clone()).or(Some(EmailAddress(email))),
            phone: self.dice.chance(75).then(|| self.phone()),
            company: Some(company),
            title: Some((*self.dice.pick(&TITLES)).to_owned()),
            source: Some((*self.dice.pick(&SOURCES)).to_owned()),
            status,
            score: self.score(status),
            industry: account
                .and_then(|account| account.industry.clone())
                .or_else(|| Some((*self.dice.pick(&INDUSTRIES)).to_owned())),
            annual_revenue: self.dice.chance(70).then(|| self.revenue(employees)),
            currency: CurrencyCode(place.currency.to_owned()),
            employees: Some(employees),
            website: self.dice.chance(60).then(|| Url(format!("https://www.{domain}"))),
            address: self.dice.chance(60).then(|| self.street()),
            city: Some(place.city.to_owned()),
            state: place.state.map(Into::into),
            country: Some(place.country.to_owned()),
            postal_code: Some(place.postal_code.to_owned()),
            notes: self.dice.maybe(45, |dice| (*dice.pick(&NOTES)).to_owned()),
            assigned_to_id: owner_id,
            account_id: account.map(|account| account.id).or(contact.and_then(|contact| contact.account_id)),
            contact_id: contact.map(|contact| contact.id),
            converted_at: touched.filter(|_| status == LeadStatus::Converted),
            last_contacted_at: touched,
            tags: self.tags(),
            custom_fields: object(json!({
                "budgetApproved": self.dice.chance(30),
                "seats": *self.dice.pick(&[5, 10, 25, 50, 100, 250]),
            })),
            owner_id,
            created_by: owner_id.or(self.members.first().map(|founder| founder.id)),
            created_at,
            updated_at: touched.unwrap_or(created_at),
            version: if touched.is_some() { 2 } else { 1 },
            deleted_at: None,
            deleted_by: None,
        }
    }

    /// The older a lead, the further it has come.
    fn status(&mut self, age: Duration) -> LeadStatus {
        use LeadStatus::{Contacted, Converted, New, Qualified, Unqualified};
        *match age.num_days() {
            ..14 => self.dice.pick(&[New, New, New, Contacted]),
            14..60 => self.dice.pick(&[New, Contacted, Contacted, Qualified, Qualified, Unqualified]),
            _ => self.dice.pick(&[Contacted, Qualified, Qualified, Unqualified, Unqualified, Converted, Converted]),
        }
    }

    fn score(&mut self, status: LeadStatus) -> i32 {
        let (least, most) = match status {
            LeadStatus::New => (5, 60),
            LeadStatus::Contacted => (20, 75),
            LeadStatus::Qualified => (55, 98),
            LeadStatus::Unqualified => (0, 35),
            LeadStatus::Converted => (70, 100),
        };
        self.dice.between(least, most) as i32
    }

    /// Who sells: mostly the representatives, now and then their managers.
    fn seller(&mut self) -> Id<Member> {
        let wanted = if self.dice.chance(80) { Role::SalesRep } else { Role::Manager };
        let sellers: Vec<&Member> = self.members.iter().filter(|member| member.role == wanted).collect();
        self.dice.pick(&sellers).id
    }

    fn name(&mut self) -> (String, String) {
        ((*self.dice.pick(&GIVEN)).to_owned(), (*self.dice.pick(&FAMILY)).to_owned())
    }

    fn phone(&mut self) -> String {
        format!("+1 {} 555-01{:02}", self.dice.pick(&[212, 312, 415, 512, 617, 720]), self.dice.between(0, 99))
    }

    fn street(&mut self) -> String {
        format!("{} {}", self.dice.between(1, 180), self.dice.pick(&STREETS))
    }

    fn address(&mut self, place: &Place) -> Address {
        Address {
            street: Some(self.street()),
            city: Some(place.city.to_owned()),
            state: place.state.map(Into::into),
            postal_code: Some(place.postal_code.to_owned()),
            country: Some(place.country.to_owned()),
        }
    }

    /// Some 90 to 240 thousand a head, rounded to thousands.
    fn revenue(&mut self, employees: i32) -> Decimal {
        let thousands = i64::from(employees) * self.dice.between(90, 240);
        Decimal(rust_decimal::Decimal::new(thousands * 100_000, 2))
    }

    fn tags(&mut self) -> Vec<String> {
        let count = *self.dice.pick(&[0, 0, 1, 1, 2, 3]);
        let mut tags: Vec<String> = (0..count).map(|_| (*self.dice.pick(&TAGS)).to_owned()).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// So many days ago.
    fn moment(&mut self, least: i64, most: i64) -> DateTime {
        let seconds = self.dice.between(least * 86_400 + 60, most.max(1) * 86_400);
        DateTime(self.now.0 - Duration::seconds(seconds))
    }

    /// Between then and now.
    fn moment_after(&mut self, then: DateTime) -> DateTime {
        let seconds = (self.now.0 - then.0).num_seconds().max(1);
        DateTime(then.0 + Duration::seconds(self.dice.between(1, seconds)))
    }
}

fn object(value: serde_json::Value) -> JsonObject {
    JsonObject::stored(value)
}

/// Letters and digits of a name, as they stand in addresses.
fn slug(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    name.nfd().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}
