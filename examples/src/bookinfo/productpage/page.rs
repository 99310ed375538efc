//! The HTML of the page. What others wrote passes through [`Text`] on its way in.

use std::fmt::{self, Display, Write};

use super::session::User;
use super::sources::{Unavailable, What};
use super::{Product, SCRIPT, STYLE};
use crate::bookinfo::model::{Book, Rating, Review, Reviews, Year};

/// Stars a reviewer can give.
const MOST_STARS: u8 = 5;

/// What the page shows.
pub(super) struct Page<'a> {
    pub(super) product: &'a Product,
    pub(super) user: Option<User>,
    pub(super) details: Result<Book, Unavailable>,
    pub(super) reviews: Result<Reviews, Unavailable>,
    /// Pod name and version of the page itself.
    pub(super) served_by: (&'a str, &'a str),
}

impl Page<'_> {
    /// The whole document.
    pub(super) fn render(&self) -> String {
        let mut html = String::with_capacity(16 << 10);
        self.write(&mut html)
            .expect("writing to a String does not fail");
        html
    }

    fn write(&self, html: &mut String) -> fmt::Result {
        open(html)?;
        self.bar(html)?;
        html.push_str("<main>\n");
        self.book(html)?;
        self.reviews(html)?;
        html.push_str(TRAFFIC);
        self.journey(html)?;
        write!(html, "</main>\n<script>\n{SCRIPT}</script>\n")?;
        html.push_str("</body>\n</html>\n");
        Ok(())
    }

    fn bar(&self, html: &mut String) -> fmt::Result {
        html.push_str("<header class=\"bar\"><a class=\"brand\" href=\"/productpage\">");
        html.push_str(
            "<img src=\"/static/logo.svg\" alt=\"\" width=\"28\" height=\"28\">Bookinfo</a>",
        );
        match &self.user {
            Some(user) => {
                let user = Text(user);
                write!(
                    html,
                    "<div class=\"user\">Signed in as <b>{user}</b> <a class=\"button\" href=\"/logout\">Sign out</a></div>"
                )?;
            }
            None => html.push_str(SIGN_IN),
        }
        html.push_str("</header>\n");
        Ok(())
    }

    fn book(&self, html: &mut String) -> fmt::Result {
        let Product {
            title,
            description_html,
            ..
        } = self.product;
        html.push_str("<section class=\"book\">\n");
        html.push_str(COVER);
        writeln!(
            html,
            "<div class=\"about\"><h1>{title}</h1><p class=\"lead\">{description_html}</p>"
        )?;
        match &self.details {
            Ok(book) => facts(html, book)?,
            Err(unavailable) => sorry(html, unavailable)?,
        }
        html.push_str("</div></section>\n");
        Ok(())
    }

    fn reviews(&self, html: &mut String) -> fmt::Result {
        html.push_str("<section><div class=\"heading\"><h2>Book Reviews</h2>");
        match &self.reviews {
            Ok(reviews) => {
                served_by(html, reviews)?;
                html.push_str("</div>\n<div class=\"cards\">\n");
                for review in &reviews.reviews {
                    card(html, review)?;
                }
                html.push_str("</div>");
            }
            Err(unavailable) => {
                html.push_str("</div>\n");
                sorry(html, unavailable)?;
            }
        }
        html.push_str("</section>\n");
        Ok(())
    }

    /// Who took part in this answer, from the browser on: the page asks two, each on its own.
    fn journey(&self, html: &mut String) -> fmt::Result {
        let (pod, version) = self.served_by;
        let page = format!(
            "<li title=\"{}\">productpage {}</li>",
            Text(pod),
            Text(version)
        );
        let seen = |answered| if answered { "" } else { " class=\"lost\"" };
        let details = seen(self.details.is_ok());
        writeln!(
            html,
            "<footer><ol class=\"journey\"><li>your browser</li>{page}<li{details}>details</li></ol>"
        )?;
        write!(html, "<ol class=\"journey\"><li>your browser</li>{page}")?;
        match &self.reviews {
            Ok(reviews) => {
                let (pod, version) = (Text(&reviews.podname), Text(&reviews.version));
                write!(html, "<li title=\"{pod}\">reviews {version}</li>")?;
                let ratings: Vec<_> = reviews
                    .reviews
                    .iter()
                    .filter_map(|r| r.rating.as_ref())
                    .collect();
                let lost = ratings
                    .iter()
                    .any(|r| matches!(r, Rating::Unavailable { .. }));
                if !ratings.is_empty() {
                    write!(html, "<li{}>ratings</li>", seen(!lost))?;
                }
            }
            Err(_) => html.push_str("<li class=\"lost\">reviews</li>"),
        }
        html.push_str("</ol></footer>\n");
        Ok(())
    }
}

/// The page at `/`, which only leads on.
pub(super) fn index() -> String {
    let mut html = String::new();
    open(&mut html).expect("writing to a String does not fail");
    html.push_str(INDEX);
    html
}

fn open(html: &mut String) -> fmt::Result {
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Simple Bookstore App</title>\n\
         <link rel=\"icon\" href=\"/static/logo.svg\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    )
}

fn facts(html: &mut String, book: &Book) -> fmt::Result {
    html.push_str("<h2 class=\"quiet\">Book Details</h2><dl class=\"facts\">");
    let year: &dyn Display = match &book.year {
        Year::Number(year) => year,
        Year::Date(date) => date,
    };
    let facts: [(&str, &dyn Display); 8] = [
        ("Author", &book.author),
        ("Year", year),
        ("Type", &book.binding),
        ("Pages", &book.pages),
        ("Publisher", &book.publisher),
        ("Language", &book.language),
        ("ISBN-10", &book.isbn_10),
        ("ISBN-13", &book.isbn_13),
    ];
    for (name, fact) in facts {
        write!(html, "<div><dt>{name}</dt><dd>{}</dd></div>", Text(fact))?;
    }
    html.push_str("</dl>\n");
    Ok(())
}

fn served_by(html: &mut String, reviews: &Reviews) -> fmt::Result {
    let (pod, version) = (Text(&reviews.podname), Text(&reviews.version));
    write!(
        html,
        "<span class=\"chip {version}\">Reviews served by: <b>{pod}</b> {version}"
    )?;
    if !matches!(reviews.clustername.as_str(), "" | "null") {
        write!(html, " on cluster {}", Text(&reviews.clustername))?;
    }
    html.push_str("</span>");
    Ok(())
}

fn card(html: &mut String, review: &Review) -> fmt::Result {
    html.push_str("<article class=\"card\">");
    match &review.rating {
        Some(Rating::Stars { stars, color }) => {
            let given = usize::from((*stars).min(MOST_STARS));
            let missing = usize::from(MOST_STARS) - given;
            write!(
                html,
                "<p class=\"stars {}\" role=\"img\" aria-label=\"{given} of {MOST_STARS} stars\">{}<i>{}</i></p>",
                Text(color),
                "★".repeat(given),
                "★".repeat(missing),
            )?;
        }
        Some(Rating::Unavailable { error }) => {
            write!(html, "<p class=\"nostars\">{}</p>", Text(error))?;
        }
        None => {}
    }
    let (text, reviewer) = (Text(&review.text), Text(&review.reviewer));
    writeln!(
        html,
        "<blockquote>{text}</blockquote><p class=\"by\">{reviewer}</p></article>"
    )
}

fn sorry(html: &mut String, unavailable: &Unavailable) -> fmt::Result {
    let Unavailable { what, cause, .. } = unavailable;
    let (name, apology) = (What::name(*what), Text(what.apology()));
    write!(
        html,
        "<div class=\"sorry\" role=\"alert\"><h3>Error fetching product {name}!</h3>\
         <p>{apology}</p><p class=\"cause\">{name}: {}</p></div>",
        Text(cause)
    )
}

/// Text that may hold anything, on its way into HTML.
struct Text<T>(T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string().chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                plain => f.write_char(plain)?,
            }
        }
        Ok(())
    }
}

const INDEX: &str = "<main class=\"index\"><img src=\"/static/logo.svg\" alt=\"\" width=\"72\" height=\"72\">\
<h1>Bookinfo</h1><p class=\"lead\">A small book shop of four services, for a mesh to carry.</p>\
<p><a class=\"button\" href=\"/productpage\">Open the product page</a></p></main>\n</body>\n</html>\n";

const SIGN_IN: &str = "<details class=\"user\"><summary class=\"button\">Sign in</summary>\
<form method=\"post\" action=\"/login\" name=\"login_form\">\
<label>User name <input name=\"username\" required maxlength=\"64\" autocomplete=\"username\" placeholder=\"jason\"></label>\
<label>Password <input name=\"passwd\" type=\"password\" autocomplete=\"off\" placeholder=\"any, or none\"></label>\
<button class=\"button\">Sign in</button></form></details>";

const COVER: &str = "<div class=\"cover\" aria-hidden=\"true\"><span>The<br>Comedy<br>of<br>Errors</span>\
<svg viewBox=\"0 0 120 40\"><g fill=\"none\" stroke=\"currentColor\" stroke-width=\"3\">\
<circle cx=\"42\" cy=\"20\" r=\"14\"/><circle cx=\"78\" cy=\"20\" r=\"14\"/></g>\
<g fill=\"currentColor\"><circle cx=\"37\" cy=\"17\" r=\"2\"/><circle cx=\"47\" cy=\"17\" r=\"2\"/>\
<circle cx=\"73\" cy=\"17\" r=\"2\"/><circle cx=\"83\" cy=\"17\" r=\"2\"/></g>\
<g fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"><path d=\"M35 25q7 6 14 0\"/><path d=\"M71 28q7-6 14 0\"/></g></svg>\
<small>Shakespeare</small></div>\n";

const TRAFFIC: &str = "<section class=\"traffic\" data-traffic><div class=\"heading\">\
<h2>Watch the traffic</h2><button class=\"button\" type=\"button\" data-toggle>Start</button></div>\
<p class=\"hint\">Asks for the reviews again and again and counts which version answers. \
Edit the rule for <code>reviews</code> meanwhile and see the bars move.</p>\
<div class=\"bars\" data-bars></div></section>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_stays_text() {
        let shown = Text("<b title=\"a\">&'").to_string();
        assert_eq!(shown, "&lt;b title=&quot;a&quot;&gt;&amp;&#39;");
    }
}
