// SPDX-License-Identifier: Apache-2.0

package dashboard_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// person uses the dashboard with a browser that has no script: it follows links
// and redirects, keeps cookies, fills in forms and sends what they hold.
type person struct {
	client *http.Client
	base   string
	header http.Header // beside what every browser sends

	at     *url.URL // the page that is shown
	status int
	answer http.Header
	source string
	page   *html.Node
}

func newPerson() *person {
	GinkgoHelper()
	jar, err := cookiejar.New(nil)
	Expect(err).NotTo(HaveOccurred())
	return &person{client: &http.Client{Jar: jar}, base: shared.URL, header: http.Header{}}
}

// signIn is a person who has come in with a token.
func signIn(ctx context.Context, token string) *person {
	GinkgoHelper()
	p := newPerson()
	p.visit(ctx, "/dashboard/")
	p.submit(ctx, "Sign in", fields{"token": token})
	Expect(p.status).To(Equal(http.StatusOK), p.source)
	Expect(p.at.Path).To(HavePrefix("/dashboard/ns/"))
	return p
}

// visit opens a page.
func (p *person) visit(ctx context.Context, path string) {
	GinkgoHelper()
	p.send(ctx, http.MethodGet, path, nil)
}

// send sends a request and shows what comes back.
func (p *person) send(ctx context.Context, method, path string, form url.Values) {
	GinkgoHelper()
	to, err := url.Parse(p.base)
	Expect(err).NotTo(HaveOccurred())
	to, err = to.Parse(path)
	Expect(err).NotTo(HaveOccurred())
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form.Encode())
	}
	request, err := http.NewRequestWithContext(ctx, method, to.String(), body)
	Expect(err).NotTo(HaveOccurred())
	if body != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	maps.Copy(request.Header, p.header)
	response, err := p.client.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	p.at, p.status, p.answer, p.source = response.Request.URL, response.StatusCode, response.Header, string(text)
	p.page, err = html.Parse(strings.NewReader(p.source))
	Expect(err).NotTo(HaveOccurred())
}

// fields are what a person types into a form, by name.
type fields map[string]string

// submit presses a button. The form's other fields stay as they are.
func (p *person) submit(ctx context.Context, button string, typed fields) {
	GinkgoHelper()
	form := p.findForm(button)
	Expect(form).NotTo(BeNil(), "there is no button %q on %s:\n%s", button, p.at, p.source)
	values := formValues(form)
	for name, value := range typed {
		Expect(values).To(HaveKey(name), "the form of %q has no such field", button)
		values.Set(name, value)
	}
	action, err := p.at.Parse(attribute(form, "action"))
	Expect(err).NotTo(HaveOccurred())
	if strings.EqualFold(attribute(form, "method"), http.MethodPost) {
		p.send(ctx, http.MethodPost, action.String(), values)
		return
	}
	action.RawQuery = values.Encode()
	p.send(ctx, http.MethodGet, action.String(), nil)
}

// follow clicks a link.
func (p *person) follow(ctx context.Context, text string) {
	GinkgoHelper()
	for _, link := range findAll(p.page, atom.A) {
		if textOf(link) == text {
			to, err := p.at.Parse(attribute(link, "href"))
			Expect(err).NotTo(HaveOccurred())
			p.send(ctx, http.MethodGet, to.String(), nil)
			return
		}
	}
	Fail("there is no link " + text + " on " + p.at.String() + ":\n" + p.source)
}

// hasControl reports whether there is a button or link with these words.
func (p *person) hasControl(text string) bool {
	for _, node := range slices.Concat(findAll(p.page, atom.A), findAll(p.page, atom.Button)) {
		if textOf(node) == text {
			return true
		}
	}
	return false
}

// pageText is the source of the page without its escapes.
func (p *person) pageText() string { return html.UnescapeString(p.source) }

// mainText is the text of the page.
func (p *person) mainText() string { return textOf(findFirst(p.page, atom.Main)) }

func (p *person) findForm(button string) *html.Node {
	for _, form := range findAll(p.page, atom.Form) {
		for _, b := range findAll(form, atom.Button) {
			if textOf(b) == button {
				return form
			}
		}
	}
	return nil
}

func formValues(form *html.Node) url.Values {
	values := url.Values{}
	for _, input := range findAll(form, atom.Input) {
		values.Set(attribute(input, "name"), attribute(input, "value"))
	}
	for _, area := range findAll(form, atom.Textarea) {
		var text strings.Builder
		for child := range area.ChildNodes() {
			text.WriteString(child.Data)
		}
		values.Set(attribute(area, "name"), strings.TrimPrefix(text.String(), "\n"))
	}
	for _, choice := range findAll(form, atom.Select) {
		for i, option := range findAll(choice, atom.Option) {
			value, given := lookUpAttribute(option, "value")
			if !given {
				value = textOf(option)
			}
			if _, selected := lookUpAttribute(option, "selected"); selected || i == 0 {
				values.Set(attribute(choice, "name"), value)
			}
		}
	}
	return values
}

func findAll(root *html.Node, kind atom.Atom) (found []*html.Node) {
	for node := range root.Descendants() {
		if node.DataAtom == kind {
			found = append(found, node)
		}
	}
	return found
}

func findFirst(root *html.Node, kind atom.Atom) *html.Node {
	if found := findAll(root, kind); len(found) > 0 {
		return found[0]
	}
	return root
}

func lookUpAttribute(node *html.Node, name string) (string, bool) {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func attribute(node *html.Node, name string) string {
	value, _ := lookUpAttribute(node, name)
	return value
}

// textOf is the text of a node, without what is not shown, with single spaces.
func textOf(node *html.Node) string {
	var text strings.Builder
	for n := range node.Descendants() {
		if n.Type == html.TextNode && n.Parent.DataAtom != atom.Script && n.Parent.DataAtom != atom.Style {
			text.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

func newReader(text string) io.Reader { return strings.NewReader(text) }
