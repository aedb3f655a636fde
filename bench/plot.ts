/* A figure of panels with logarithmic axes, as SVG: no library, text that stays text, and colours for light and dark. */

export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface Panel {
  readonly title: string
  readonly x: string
  readonly y: string
  /** How a value of x is written below the axis. */
  label(x: number): string
  readonly series: readonly Series[]
}

const PANEL = { width: 440, height: 300, left: 62, top: 64, gap: 40, below: 58 } as const
/** Each series has a colour, for light and for dark, and a mark of its own: nobody has to tell colours apart. */
const INKS = [
  { light: '#57606a', dark: '#9aa4af', mark: 'square', dash: '5 4' },
  { light: '#0969da', dark: '#58a6ff', mark: 'circle', dash: '' },
  { light: '#bc4c00', dark: '#f0883e', mark: 'diamond', dash: '2 3' },
  { light: '#8250df', dark: '#bc8cff', mark: 'triangle', dash: '8 3 2 3' },
] as const
const STEPS = [1, 2, 5]
/** Marks on the axis beyond this many would overlap: then only powers of ten. */
const MOST_TICKS = 8

const MARKS = {
  square: (x: number, y: number) => `M${round(x - 4)} ${round(y - 4)}h8v8h-8z`,
  circle: (x: number, y: number) => `M${round(x - 4)} ${round(y)}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0`,
  diamond: (x: number, y: number) => `M${round(x)} ${round(y - 5)}l5 5l-5 5l-5 -5z`,
  triangle: (x: number, y: number) => `M${round(x)} ${round(y - 5)}l5 9h-10z`,
} as const

const round = (value: number): string => String(Math.round(value * 100) / 100)

/** Text as it may stand in XML, in an attribute too. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
    // XML 1.0 has no way at all to hold these.
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
}

/** @returns a whole SVG document; points that are not above zero are left out, for a logarithm has no place for them */
export function renderPlot(title: string, panels: readonly Panel[]): string {
  const width = panels.length * (PANEL.left + PANEL.width + PANEL.gap)
  const height = PANEL.top + PANEL.height + PANEL.below
  const names = [...new Set(panels.flatMap(({ series }) => series.map(({ name }) => name)))]
  const inkOf = (name: string): number => names.indexOf(name) % INKS.length
  const style = [
    'text{font:13px system-ui,sans-serif;fill:#1f2328}.small{font-size:12px}.bold{font-weight:600}',
    '.back{fill:#ffffff}.grid{stroke:#d1d9e0}.frame{stroke:#59636e;fill:none}',
    ...INKS.map(({ light }, i) => `.s${i}{stroke:${light};color:${light}}`),
    '.line{fill:none;stroke-width:2}.mark{fill:currentColor;stroke:none}',
    '@media(prefers-color-scheme:dark){text{fill:#e6edf3}.back{fill:#0d1117}.grid{stroke:#30363d}.frame{stroke:#8b949e}',
    ...INKS.map(({ dark }, i) => `.s${i}{stroke:${dark};color:${dark}}`),
    '}',
  ].join('')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">\n` +
    `<title>${escapeXml(title)}</title>\n<style>${style}</style>\n<rect class="back" width="${width}" height="${height}"/>\n` +
    names.map((name, i) => legend(name, inkOf(name), PANEL.left + i * 150)).join('') +
    panels.map((panel, i) => `<g transform="translate(${PANEL.left + i * (PANEL.left + PANEL.width + PANEL.gap)} ${PANEL.top})">\n${drawPanel(panel, inkOf)}</g>\n`).join('') +
    '</svg>\n'
}

function legend(name: string, ink: number, x: number): string {
  return `<g class="s${ink}">${stroke(`M${x} 18h30`, ink)}${mark(ink, x + 15, 18)}</g><text x="${x + 38}" y="22">${escapeXml(name)}</text>\n`
}

function stroke(path: string, ink: number): string {
  const { dash } = INKS[ink] as typeof INKS[number]
  return `<path class="line" d="${path}"${dash === '' ? '' : ` stroke-dasharray="${dash}"`}/>`
}

function mark(ink: number, x: number, y: number): string {
  return `<path class="mark" d="${MARKS[(INKS[ink] as typeof INKS[number]).mark](x, y)}"/>`
}

function drawPanel({ title, x, y, label, series }: Panel, inkOf: (name: string) => number): string {
  const drawn = series.map(({ name, points }) => ({ name, points: points.filter((point) => point.every((value) => value > 0 && Number.isFinite(value))) }))
  const all = drawn.flatMap(({ points }) => points)
  const xs = [...new Set(all.map(([value]) => value))].toSorted((a, b) => a - b)
  const ys = all.map(([, value]) => value)
  const across = scale(xs, 0, PANEL.width, 1.25)
  const up = scale(ys, PANEL.height, 0, 1.25)
  const ticks = all.length === 0 ? [] : ticksBetween(Math.min(...ys) / 1.25, Math.max(...ys) * 1.25)
  const middle = PANEL.height / 2
  return `<text class="bold" x="0" y="-14">${escapeXml(title)}</text>\n` +
    ticks.map((value) => `<path class="grid" d="M0 ${round(up(value))}H${PANEL.width}"/><text class="small" x="-8" y="${round(up(value) + 4)}" text-anchor="end">${value.toLocaleString('en-US')}</text>\n`).join('') +
    xs.map((value) => `<path class="grid" d="M${round(across(value))} 0V${PANEL.height}"/><text class="small" x="${round(across(value))}" y="${PANEL.height + 18}" text-anchor="middle">${escapeXml(label(value))}</text>\n`).join('') +
    `<rect class="frame" width="${PANEL.width}" height="${PANEL.height}"/>\n` +
    `<text x="${PANEL.width / 2}" y="${PANEL.height + 42}" text-anchor="middle">${escapeXml(x)}</text>\n` +
    `<text transform="translate(-46 ${middle}) rotate(-90)" text-anchor="middle">${escapeXml(y)}</text>\n` +
    drawn.map(({ name, points }) => {
      const places = points.map(([a, b]) => [across(a), up(b)] as const)
      const path = places.map(([a, b], i) => `${i === 0 ? 'M' : 'L'}${round(a)} ${round(b)}`).join('')
      return places.length === 0 ? '' : `<g class="s${inkOf(name)}">${stroke(path, inkOf(name))}${places.map(([a, b]) => mark(inkOf(name), a, b)).join('')}</g>\n`
    }).join('')
}

/** Logarithms of the values between two places, with some room at either end. */
function scale(values: readonly number[], from: number, to: number, room: number): (value: number) => number {
  const low = Math.log(Math.min(...values) / room)
  const high = Math.log(Math.max(...values) * room)
  return (value) => from + ((Math.log(value) - low) / (high - low)) * (to - from)
}

function ticksBetween(low: number, high: number): number[] {
  const powers = Array.from({ length: 24 }, (_, i) => i - 12)
  // In decimal digits, for 0.1 * 2 ** n is not what is written there.
  const all = powers.flatMap((power) => STEPS.map((step) => Number(`${step}e${power}`))).filter((value) => value >= low && value <= high)
  return all.length <= MOST_TICKS ? all : all.filter((value) => Number.isInteger(Math.log10(value)))
}
