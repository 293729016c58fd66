/*
 * What charts have in common.
 */
#include "bench/chart_frame.h"

#include <math.h>

#include "bench/markup.h"

struct chart_frame chart_frame(FILE *out, bool wide)
{
    struct chart_frame f = {.out = out, .wide = wide, .left = 52, .top = 44};

    f.width = wide ? 760 : 350;
    f.height = wide ? 320 : 280;
    f.right = f.width - 14;
    f.bottom = f.height - 44;
    return f;
}

double chart_x(const struct chart_frame *f, double value)
{
    return f->left + (value - f->x_min) / (f->x_max - f->x_min) * (f->right - f->left);
}

double chart_y(const struct chart_frame *f, double value)
{
    return f->bottom - (value - f->y_min) / (f->y_max - f->y_min) * (f->bottom - f->top);
}

void chart_begin(const struct chart_frame *f, const char *name, const char *title,
                 const char *summary)
{
    const char *form = f->wide ? "wide" : "narrow";

    fprintf(f->out,
            "<svg class=\"chart %s\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
            "aria-labelledby=\"%s-%s-title %s-%s-desc\">\n<title id=\"%s-%s-title\">",
            form, f->width, f->height, name, form, name, form, name, form);
    markup_text(f->out, title);
    fprintf(f->out, "</title>\n<desc id=\"%s-%s-desc\">", name, form);
    markup_text(f->out, summary);
    fputs("</desc>\n", f->out);
}

void chart_end(const struct chart_frame *f)
{
    fputs("</svg>\n", f->out);
}

void chart_grid_y(const struct chart_frame *f, double value, const char *label)
{
    double y = chart_y(f, value);

    fprintf(f->out,
            "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            f->left, f->right, y, y, f->left - 6, y + 4, label);
}

void chart_grid_x(const struct chart_frame *f, double value, const char *label)
{
    double x = chart_x(f, value);

    fprintf(f->out,
            "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
            x, x, f->bottom, f->bottom + 4, x, f->bottom + 18, label);
}

void chart_axes(const struct chart_frame *f, const char *x_label, const char *y_label)
{
    fprintf(f->out,
            "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"label\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>"
            "<text class=\"label\" x=\"4\" y=\"14\">%s</text>\n",
            f->left, f->right, f->bottom, f->bottom, f->right, f->height - 6, x_label, y_label);
}

double chart_step(double range, int most)
{
    double step = pow(10, floor(log10(range / most)));
    static const double factors[] = {1, 2, 5, 10};

    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
        if (step * factors[i] * most >= range * (1 - 1e-9)) {
            return step * factors[i];
        }
    }
    return step * 10;
}

void chart_short(double value, char text[CHART_TEXT])
{
    static const struct {
        double unit;
        const char *letter;
    } units[] = {{1e9, "G"}, {1e6, "M"}, {1e3, "k"}, {1, ""}};
    size_t i = 0;

    while (i < 3 && value < units[i].unit) {
        i++;
    }
    snprintf(text, CHART_TEXT, "%.4g%s", value / units[i].unit, units[i].letter);
}

void chart_duration(double ns, char text[CHART_TEXT])
{
    static const struct {
        double unit;
        const char *name;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}, {1, "ns"}};
    size_t i = 0;

    /* What would be rounded up to 1000 is told in the next unit. */
    while (i < 3 && ns < units[i].unit * 0.9995) {
        i++;
    }
    snprintf(text, CHART_TEXT, "%.3g %s", ns / units[i].unit, units[i].name);
}
