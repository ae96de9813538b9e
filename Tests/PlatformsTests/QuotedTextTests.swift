import Testing

@testable import Platforms

/// Mails as mail programs write them, and the words in them that are new.
@Suite("Quoted text")
struct QuotedTextTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let text: String
    let new: String

    init(_ name: String, _ text: String, _ new: String) {
      self.name = name
      self.text = text
      self.new = new
    }

    var testDescription: String { name }
  }

  static let quotations = [
    Case(
      "Gmail", "New\n\nOn Fri, Nov 20, 2026 at 11:50 PM Bob <bob@example.com> wrote:\n\n> Old\n> older\n",
      "New"),
    Case(
      "Gmail, broken",
      "New\n\nOn Fri, Nov 20, 2026 at 11:50 PM Somebody Long <\nbob@example.com> wrote:\n> Old", "New"),
    Case(
      "Gmail, German", "Neu\n\nAm Fr., 20. Nov. 2026 um 23:50 Uhr schrieb Bob <bob@example.com>:\n\n> Alt",
      "Neu"),
    Case(
      "Gmail, French", "Neuf\n\nLe ven. 20 nov. 2026 à 23:50, Bob <bob@example.com> a écrit :\n\n> Vieux",
      "Neuf"),
    Case(
      "Gmail, Spanish",
      "Nuevo\n\nEl vie, 20 nov 2026 a las 23:50, Bob (<bob@example.com>) escribió:\n\n> Viejo", "Nuevo"),
    Case(
      "Gmail, Italian",
      "Nuovo\n\nIl giorno ven 20 nov 2026 alle ore 23:50 Bob <bob@example.com> ha\nscritto:\n\n> V", "Nuovo"),
    Case(
      "Gmail, Portuguese",
      "Novo\n\nEm sex., 20 de nov. de 2026 às 23:50, Bob <bob@x.org> escreveu:\n\n> Velho", "Novo"),
    Case(
      "Gmail, Dutch", "Nieuw\n\nOp vr 20 nov 2026 om 23:50 schreef Bob <bob@example.com>:\n\n> Oud",
      "Nieuw"),
    Case(
      "Gmail, Swedish", "Nytt\n\nDen fre 20 nov. 2026 kl 23:50 skrev Bob <bob@example.com>:\n\n> Gammalt",
      "Nytt"),
    Case(
      "Gmail, Polish", "Nowe\n\npt., 20 lis 2026 o 23:50 Bob <bob@example.com> napisał(a):\n\n> Stare",
      "Nowe"),
    Case(
      "Gmail, Russian", "Новое\n\nпт, 20 нояб. 2026 г. в 23:50, Bob <bob@example.com>:\n\n> Старое",
      "Новое"),
    Case("Gmail, by date", "New\n\n2026-11-20 23:50 GMT+01:00 Bob <bob@example.com>:\n\n> Old", "New"),
    Case("Gmail, Chinese", "新\n\nBob <bob@example.com> 于2026年11月20日周五 23:50写道：\n\n> 旧", "新"),
    Case("Gmail, Japanese", "新しい\n\n2026年11月20日(金) 23:50 Bob <bob@example.com>:\n\n> 古い", "新しい"),
    Case("Apple Mail", "New\n\n> On 20 Nov 2026, at 23:50, Bob <bob@example.com> wrote:\n> \n> Old\n", "New"),
    Case("Thunderbird", "New\n\nOn 11/20/26 23:50, Bob wrote:\n> Old\n\n", "New"),
    Case("Thunderbird, German", "Neu\n\nAm 20.11.26 um 23:50 schrieb Bob:\n> Alt", "Neu"),
    Case("Thunderbird, French", "Neuf\n\nLe 20/11/2026 à 23:50, Bob a écrit\u{a0}:\n> Vieux", "Neuf"),
    Case(
      "Yahoo",
      "New\n\n    On Friday, November 20, 2026 at 11:50:00 PM GMT+1, Bob <b@x.org> wrote:  \n \n Old\n", "New"
    ),
    Case(
      "Outlook", "New\n\n-----Original Message-----\nFrom: Bob\nSent: Friday\nTo: Ana\nSubject: Old\n\nOld",
      "New"),
    Case("Outlook, German", "Neu\n\n-----Ursprüngliche Nachricht-----\nVon: Bob\n\nAlt", "Neu"),
    Case(
      "Outlook, header",
      "New\n\nFrom: Bob <b@x.org>\nSent: Friday, November 20, 2026 11:50 PM\nTo: Ana\nSubject: X\n\nOld",
      "New"),
    Case(
      "Outlook, line",
      "New\n\n________________________________\nFrom: Bob\nSent: Friday\nTo: Ana\nSubject: X\n\nOld", "New"),
    Case(
      "Outlook, bold", "New\n\n*From:* Bob <b@x.org>\n*Sent:* Friday\n*To:* Ana\n*Subject:* X\n\nOld", "New"),
    Case(
      "Outlook, German header",
      "Neu\n\nVon: Bob\nGesendet: Freitag, 20. November 2026 23:50\nAn: Ana\nBetreff: X\n\nAlt", "Neu"),
    Case(
      "Outlook, French header",
      "Neuf\n\nDe : Bob\nEnvoyé : vendredi 20 novembre 2026 23:50\nÀ : Ana\nObjet : X\n\nVieux", "Neuf"),
    Case("mutt", "New\n\nOn Fri, Nov 20, 2026 at 11:50:00PM +0000, Bob wrote:\n> Old\n> > older\n", "New"),
    Case("only marks", "New\n> Old\n> Old", "New"),
    Case("below", "On Fri, Nov 20, 2026 at 11:50 PM Bob wrote:\n> Old\n> Old\n\nNew\n", "New"),
    Case("CRLF", "New\r\n\r\nOn Fri, Nov 20, 2026 at 11:50 PM Bob <b@x.org> wrote:\r\n\r\n> Old\r\n", "New"),
  ]

  static let kept = [
    Case("plain", "Just words.\nMore words.", "Just words.\nMore words."),
    Case(
      "between", "On Nov 20, 2026, Bob wrote:\n> One?\nYes.\n> Two?\nNo.",
      "On Nov 20, 2026, Bob wrote:\n> One?\nYes.\n> Two?\nNo."),
    Case("all quoted", "> Old\n> Old", "> Old\n> Old"),
    Case("a sentence", "On the phone she wrote:\nbuy milk", "On the phone she wrote:\nbuy milk"),
    Case(
      "a sentence with a number", "On 3 of the walls he wrote:\nbuy milk",
      "On 3 of the walls he wrote:\nbuy milk"),
    Case("a list", "From: Berlin\nNothing else", "From: Berlin\nNothing else"),
    Case("a rule", "Above\n-----------\nBelow", "Above\n-----------\nBelow"),
    Case(
      "forward",
      "FYI\n\n---------- Forwarded message ---------\nFrom: Bob\nDate: Fri\nSubject: X\nTo: Ana\n\nOld",
      "FYI\n\n---------- Forwarded message ---------\nFrom: Bob\nDate: Fri\nSubject: X\nTo: Ana\n\nOld"),
    Case(
      "Apple forward", "FYI\n\nBegin forwarded message:\n\nFrom: Bob\nSubject: X\nDate: Fri\nTo: Ana\n\nOld",
      "FYI\n\nBegin forwarded message:\n\nFrom: Bob\nSubject: X\nDate: Fri\nTo: Ana\n\nOld"),
    Case("a time", "Am Montag um 10:30:\nTreffen", "Am Montag um 10:30:\nTreffen"),
    Case("empty", "", ""), Case("blank", " \n\t\n", ""),
  ]

  static let signatures = [
    Case("signature", "New\n-- \nBob\nExample Ltd", "New"),
    Case("trimmed signature", "New\n--\nBob", "New"),
    Case("signature above a quotation", "New\n\n-- \nBob\n\nOn Nov 20, 2026, Ana wrote:\n> Old", "New"),
    Case("signature below a quotation", "New\n\nOn Nov 20, 2026, Ana wrote:\n> Old\n-- \nBob", "New"),
    Case("only a signature", "-- \nBob", "-- \nBob"),
    Case(
      "too long for one", "New\n--\n" + String(repeating: "x\n", count: 30) + "y",
      "New\n--\n" + String(repeating: "x\n", count: 30) + "y"),
    Case("iPhone", "New\n\nSent from my iPhone", "New"),
    Case("iPhone, German", "Neu\n\nVon meinem iPhone gesendet", "Neu"),
    Case(
      "iPhone and quotation",
      "New\n\nSent from my iPhone\n\n> On 20 Nov 2026, at 23:50, Bob wrote:\n> \n> Old", "New"),
    Case(
      "Outlook for iOS",
      "New\n\nGet Outlook for iOS<https://aka.ms/o0ukef>\n________________________________\nFrom: Bob\nSent: Friday\nTo: Ana\nSubject: X",
      "New"),
  ]

  @Test("is parted from what is new", arguments: quotations)
  func quotation(test: Case) { #expect(QuotedText.new(test.text) == test.new) }

  @Test("is not seen in what is none", arguments: kept)
  func keeps(test: Case) { #expect(QuotedText.new(test.text) == test.new) }

  @Test("goes with signatures", arguments: signatures)
  func signature(test: Case) { #expect(QuotedText.new(test.text) == test.new) }

  static let html = [
    Case(
      "Gmail",
      "<div dir=\"ltr\">New</div><br><div class=\"gmail_quote gmail_quote_container\"><div dir=\"ltr\" class=\"gmail_attr\">On Fri wrote:<br></div><blockquote class=\"gmail_quote\"><div>Old</div></blockquote></div>",
      "New"),
    Case("Gmail, below", "<div class=\"gmail_quote\"><div>Old</div></div><div>New</div>", "New"),
    Case(
      "Gmail, forward",
      "<div>FYI</div><div class=\"gmail_quote\">---------- Forwarded message ---------<br>Old</div>",
      "FYI\n---------- Forwarded message ---------\nOld"),
    Case(
      "Apple Mail",
      "<html><body>New<div><br><blockquote type=\"cite\"><div>On 20 Nov 2026, Bob wrote:</div><div>Old <blockquote type=\"cite\">older</blockquote></div></blockquote></div></body></html>",
      "New"),
    Case(
      "Thunderbird",
      "<p>New</p><div class=\"moz-cite-prefix\">On 11/20/26, Bob wrote:<br></div><blockquote type=\"cite\" cite=\"mid:a@b\">Old</blockquote><div class=\"moz-signature\">Bob</div>",
      "New"),
    Case(
      "Outlook web",
      "<div>New</div><div id=\"appendonsend\"></div><hr><div id=\"divRplyFwdMsg\"><b>From:</b> Bob</div><div>Old</div>",
      "New"),
    Case(
      "Yahoo", "<div>New</div><div id=\"yahoo_quoted_1\" class=\"yahoo_quoted\"><div>On Friday</div></div>",
      "New"),
    Case(
      "Proton",
      "New<div class=\"protonmail_quote\">On Friday<blockquote class=\"protonmail_quote\">Old</blockquote></div>",
      "New"),
    Case("a comment", "New<!-- <div class=\"gmail_quote\"> --> words", "New words"),
    Case("never closed", "New<div class=\"gmail_quote\">Old", "New"),
    Case("no tags", "New", "New"), Case("open tag", "New <", "New"),
    Case("cut tag", "New<div class=\"gmail_quote", "New"),
  ]

  @Test("is taken out of HTML", arguments: html)
  func containers(test: Case) { #expect(HTMLText.plain(QuotedHTML.new(test.text)) == test.new) }

  @Test("takes no long time", .timeLimit(.minutes(5)))
  func time() {
    for piece in [
      "> a\n", "On 2026 \n", "On 2026\n\n", "--\n", "From: a\n", " \n", "a:", "<div class=gmail_quote>",
      "<!--", "<", "</div>",
    ] {
      let text = String(repeating: piece, count: 4_000)
      _ = QuotedText.new(text)
      _ = HTMLText.plain(QuotedHTML.new(text))
    }
  }

  @Test(
    "subjects lose the marks of answers",
    arguments: [
      ("Re: Order", "Order"), ("RE: AW: Fwd: Order", "Order"), ("Re[2]: Order", "Order"),
      ("Re (3): Order", "Order"),
      ("re:Order", "Order"), ("回复：Order", "Order"), ("SV: VS: Order", "Order"),
      ("Note: Order", "Note: Order"),
      ("Order: Re: x", "Order: Re: x"), ("Re: [list] Order", "[list] Order"), ("Resume: x", "Resume: x"),
      (" Re :  Order  4711 ", "Order 4711"), ("10:30 meeting", "10:30 meeting"),
    ])
  func subjects(subject: String, base: String) { #expect(EmailSubject.base(subject) == base) }

  @Test("a subject may be nothing but marks")
  func noSubject() {
    for subject in [nil, "", " ", "Re:", "Re: Fwd: "] { #expect(EmailSubject.base(subject) == nil) }
  }
}
