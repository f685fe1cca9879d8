// The loop over focal losses (focal_loss.h) and over their derivatives.

template <class T>
void focal_loss(FocalLoss<T> loss, const T* x, const T* t, T* out, int64_t n) {
  with_focus(loss.gamma, [&]<Focus focus>() {
    for (int64_t i = 0; i < n; ++i) out[i] = focal<0, focus>(x[i], t[i], loss);
  });
}

template <class T>
void focal_loss_derivative(FocalLoss<T> loss, int64_t order, const T* grad, int64_t grad_step, const T* x, const T* t,
                           T* out, int64_t n) {
  with_focus(loss.gamma, [&]<Focus focus>() {
    const auto run = [&]<int order_>() {
      if (grad_step == 0) {
        const T same = *grad;
        for (int64_t i = 0; i < n; ++i) out[i] = same * focal<order_, focus>(x[i], t[i], loss);
      } else {
        for (int64_t i = 0; i < n; ++i) out[i] = grad[i] * focal<order_, focus>(x[i], t[i], loss);
      }
    };
    order == 1 ? run.template operator()<1>() : run.template operator()<2>();
  });
}

// The sum of v[0, n), n a power of two, which it overwrites. One half is added to the other, again and again: the order
// is the same for vectors of any width, and rounding grows with log n.
template <class T>
T sum_by_halves(T* v, int64_t n) {
  while (n > 1) {
    n /= 2;
    for (int64_t i = 0; i < n; ++i) v[i] += v[i + n];
  }
  return v[0];
}
