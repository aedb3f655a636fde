import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { Script } from 'node:vm'
import { renderPage } from '../../../src/transports/pinghub/page.ts'
import { startServer } from '../../support/server.ts'

function part(html: string, tag: string): string {
  const found = new RegExp(`<${tag}[^>]*>([^]*?)</${tag}>`).exec(html)
  assert.ok(found, `no ${tag}`)
  return found[1] as string
}

function directives(headers: Record<string, string>): Map<string, string> {
  const policy = headers['Content-Security-Policy'] as string
  return new Map(policy.split('; ').map((one) => [one.slice(0, one.indexOf(' ')), one.slice(one.indexOf(' ') + 1)]))
}

const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

test('the page names its path in the title and in a heading, and has the tag that clients look for', () => {
  const { html } = renderPage('/somestring')
  assert.ok(html.includes('<html>'))
  assert.match(part(html, 'title'), /\/somestring.*Waystation/)
  assert.equal(part(html, 'h3'), '/somestring')
})

test('the path is escaped with the entities of pinghub', () => {
  const escaped = '/&lt;b&gt; &amp;amp; &#34;x&#34; &#39;y&#39; 1&#43;1 \uFFFD é 日本'
  const { html } = renderPage('/<b> &amp; "x" \'y\' 1+1 \0 é 日本')
  assert.equal(part(html, 'h3'), escaped)
  assert.ok(part(html, 'title').startsWith(escaped))
})

test('a path is never read as a pattern of replacement', () => {
  assert.equal(part(renderPage("/$&$`$1$$").html, 'h3'), '/$&amp;$`$1$$')
})

test('the path stands in no script and no style, which are the same for all channels', () => {
  const { html } = renderPage('/zebra')
  const other = renderPage("/';alert(1)//</script><script>").html
  for (const tag of ['script', 'style']) {
    assert.ok(!part(html, tag).includes('zebra'))
    assert.equal(part(other, tag), part(html, tag))
  }
  assert.equal(other.split('<script').length, 2)
})

test('the page asks nobody for anything: every address in it is a data address', () => {
  const { html } = renderPage('/demo')
  assert.doesNotMatch(html, /https?:\/\/|\/\/[a-z]/i)
  assert.deepEqual(html.match(/\b(?:src|href|srcset|action|poster)\s*=\s*"[^"]{5}/g), ['href="data:'])
  assert.doesNotMatch(html, /@import|url\(|\bimport\b/)
})

test('the policy allows exactly the script and the style that are served, and this host', () => {
  const { html, headers } = renderPage('/demo')
  const policy = directives(headers)
  assert.equal(policy.get('default-src'), "'none'")
  assert.equal(policy.get('script-src'), hash(part(html, 'script')))
  assert.equal(policy.get('style-src'), hash(part(html, 'style')))
  assert.equal(policy.get('connect-src'), "'self'")
  for (const name of ['base-uri', 'form-action']) assert.equal(policy.get(name), "'none'")
  assert.equal(policy.get('frame-ancestors'), "'self'")
})

test('nothing in the page needs a script or style that the policy does not know', () => {
  const { html } = renderPage('/demo')
  assert.doesNotMatch(html, /\son[a-z]+\s*=|\sstyle\s*=|javascript:/i)
  assert.doesNotMatch(part(html, 'script'), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b/)
})

test('the script is well-formed', () => {
  assert.doesNotThrow(() => new Script(`'use strict';${part(renderPage('/demo').html, 'script')}`))
})

test('every field and button has a name for those who do not see it', () => {
  const { html } = renderPage('/demo')
  assert.match(html, /<label[^>]*for="field"[^>]*>\w/)
  // The one that leads to the end gets its text, a number, when it is shown.
  const buttons = [...html.matchAll(/<button(?! id="jump")[^>]*>([^<]*)<\/button>/g)].map(([, text]) => text as string)
  assert.deepEqual(buttons, ['Try now', 'Clear', 'Send', 'Copy'])
  assert.match(html, /role="log" aria-label="\w/)
  assert.match(html, /<body lang="en"/)
})

/** The contrast of two colours as WCAG counts it. */
function contrast(a: string, b: string): number {
  const light = (hex: string): number => {
    const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
      const share = Number.parseInt(hex.slice(at, at + 2), 16) / 255
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const [low = 0, high = 0] = [light(a), light(b)].sort((x, y) => x - y)
  return (high + 0.05) / (low + 0.05)
}

const PAIRS = ['ink/sheet', 'ink/sunk', 'soft/sheet', 'soft/sunk', 'soft/line', 'accent/sheet', 'accent-ink/accent', 'live/sheet', 'wait/sheet', 'bad/bad-soft']

test('text can be read on its ground, in light and in dark', () => {
  const [light = '', dark = ''] = part(renderPage('/demo').html, 'style').split('@media (prefers-color-scheme: dark)')
  for (const scheme of [light, dark]) {
    const colours = new Map([...scheme.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, value]) => [name, value]))
    for (const pair of PAIRS) {
      const [text = '', ground = ''] = pair.split('/').map((name) => colours.get(name))
      assert.ok(contrast(text, ground) >= 4.5, `${pair} (${text} on ${ground}) has only ${contrast(text, ground).toFixed(2)}`)
    }
  }
})

test('a GET of a channel answers the page with its length and its headers, and opens no channel', async (t) => {
  const server = await startServer(t)
  const response = await fetch(`${server.url}/caf%C3%A9/%2B?x=1`)
  const body = Buffer.from(await response.arrayBuffer())
  assert.equal(response.status, 200)
  assert.equal(part(body.toString(), 'h3'), '/café/&#43;')
  assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8')
  assert.equal(Number(response.headers.get('content-length')), body.length)
  assert.ok(body.toString().endsWith('</html>\n'), 'the length is in bytes')
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff')
  assert.equal(response.headers.get('referrer-policy'), 'no-referrer')
  assert.equal(response.headers.get('cache-control'), 'no-cache')
  assert.match(response.headers.get('content-security-policy') ?? '', /^default-src 'none'; /)
  assert.match(server.pinghubReport(), /^channels\.value 0$/m)
})
