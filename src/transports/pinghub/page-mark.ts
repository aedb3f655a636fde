const SHAPE = (colour: string): string =>
  `<g fill="none" stroke="${colour}" stroke-width="2.5" stroke-linecap="round"><circle cx="16" cy="16" r="5.5"/>` +
  '<path d="M16 10.500V7M11.250 18.750 8.200 20.500M20.750 18.750l3.050 1.750"/></g>' +
  `<g fill="${colour}"><circle cx="16" cy="4.500" r="3"/><circle cx="6" cy="21.750" r="3"/><circle cx="26" cy="21.750" r="3"/></g>`

/** The sign of the product: one hub, three ways. */
export const MARK = `<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">${SHAPE('currentColor')}</svg>`

/** The same as a favicon that needs no request, in a green that is seen on light and dark tabs. */
export const MARK_URL =
  'data:image/svg+xml,' + encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">${SHAPE('#12998a')}</svg>`)
